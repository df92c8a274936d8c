//! A headless Chromium for tests of pages: real windows, with and without script.
//!
//! Owns the process and the conversation with it, in the DevTools protocol over a pipe: messages of JSON that end with a zero byte, one in, one
//! out. The pipe ends with whoever started it, and so does the browser. Knows nothing of the pages.
//!
//! ```no_run
//! use flashsale_services::browser::{Browser, Script, Window};
//!
//! let browser = Browser::start();
//! let page = browser.page(Window::PHONE, Script::On);
//! page.open("http://127.0.0.1:8080/");
//! assert!(!page.scrolls_sideways());
//! page.click("main a");
//! assert!(page.text("h1").is_some());
//! ```

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::error::StartError;
use crate::process::{Launch, spawn};
use crate::program;

/// The program, and the Debian package that has it.
pub const PROGRAM: (&str, &str) = ("chromium", "chromium");
/// How long the browser may take for one thing.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long an orderly end may take.
const STOP: Duration = Duration::from_secs(5);
/// The most events that are kept while nobody asks for them.
const EVENTS_MAX: usize = 10_000;
/// The pipe of the protocol is at 3 and 4; the usual three are elsewhere.
const REDIRECT: &str = r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >&2"#;

/// The size of a window, in CSS pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Its width.
    pub width: u32,
    /// Its height.
    pub height: u32,
}

impl Window {
    /// A small phone, upright.
    pub const PHONE: Self = Self { width: 360, height: 740 };
    /// A desk.
    pub const DESK: Self = Self { width: 1_280, height: 800 };
}

/// Whether a page's script runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Script {
    /// As in most browsers.
    On,
    /// Switched off by whoever looks.
    Off,
}

/// A running browser. It ends when this is dropped.
#[derive(Debug)]
pub struct Browser {
    line: Mutex<Line>,
    child: Mutex<Child>,
    launch: Launch,
    _folder: TempDir,
}

/// The conversation.
#[derive(Debug)]
struct Line {
    to: Option<ChildStdin>,
    from: mpsc::Receiver<Value>,
    last: u64,
    events: VecDeque<Value>,
}

/// A window with one page, with cookies of its own.
#[derive(Debug)]
pub struct Page<'b> {
    browser: &'b Browser,
    session: String,
    context: String,
}

impl Browser {
    /// Starts one.
    ///
    /// # Panics
    /// With the reason, if it does not start: a test that needs a browser and has none fails.
    #[must_use]
    pub fn start() -> Self {
        Self::try_start().unwrap_or_else(|error| panic!("{error}"))
    }

    /// Starts one.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn try_start() -> Result<Self, StartError> {
        let chromium = program::find(PROGRAM.0, PROGRAM.1)?;
        let folder = tempfile::Builder::new().prefix("flashsale-browser-").tempdir();
        let folder = folder.map_err(StartError::system("a folder"))?;
        let profile = format!("--user-data-dir={}", folder.path().join("profile").display());
        let flags = [
            "--headless",
            // The pages are our own, and Chromium refuses its sandbox to root.
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-quic",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-default-apps",
            "--disable-extensions",
            "--disable-sync",
            "--no-first-run",
            "--no-default-browser-check",
            "--hide-scrollbars",
            "--remote-debugging-pipe",
        ];
        let mut args = vec!["-c".to_owned(), REDIRECT.to_owned(), chromium.display().to_string(), profile];
        args.extend(flags.map(String::from));
        let place = folder.path().to_path_buf();
        let launch = Launch { program: program::find("sh", "dash")?, args, folder: place, user: None };
        let mut command = launch.command()?;
        command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
        let mut child = spawn(command).map_err(StartError::system("starting chromium"))?;
        let (heard, from) = mpsc::channel();
        if let Some(out) = child.stdout.take() {
            thread::spawn(move || {
                for message in BufReader::new(out).split(0).map_while(Result::ok) {
                    let Ok(message) = serde_json::from_slice(&message) else { continue };
                    if heard.send(message).is_err() {
                        return;
                    }
                }
            });
        }
        let to = child.stdin.take();
        let line = Mutex::new(Line { to, from, last: 0, events: VecDeque::new() });
        let browser = Self { line, child: Mutex::new(child), launch, _folder: folder };
        match browser.ask(None, "Browser.getVersion", &json!({})) {
            Ok(_) => Ok(browser),
            Err(_) => Err(StartError::Ended { program: PROGRAM.0.to_owned(), said: browser.launch.said() }),
        }
    }

    /// Opens an empty window.
    ///
    /// # Panics
    /// If the browser does not do it.
    #[must_use]
    pub fn page(&self, window: Window, script: Script) -> Page<'_> {
        let id = |answer: &Value, key: &str| answer[key].as_str().unwrap_or_default().to_owned();
        let context = id(&self.must(None, "Target.createBrowserContext", &json!({})), "browserContextId");
        let target = json!({ "url": "about:blank", "browserContextId": context });
        let target = id(&self.must(None, "Target.createTarget", &target), "targetId");
        let attach = json!({ "targetId": target, "flatten": true });
        let session = id(&self.must(None, "Target.attachToTarget", &attach), "sessionId");
        let page = Page { browser: self, session, context };
        page.must("Page.enable", &json!({}));
        let Window { width, height } = window;
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        page.must("Emulation.setDeviceMetricsOverride", &size);
        page.must("Emulation.setScriptExecutionDisabled", &json!({ "value": script == Script::Off }));
        page
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks, and waits for the answer.
    fn ask(&self, session: Option<&str>, method: &str, params: &Value) -> Result<Value, String> {
        let mut line = self.line();
        line.last += 1;
        let id = line.last;
        let mut message = json!({ "id": id, "method": method, "params": params });
        if let Some(session) = session {
            message["sessionId"] = session.into();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        let to = line.to.as_mut().ok_or("the browser is gone")?;
        to.write_all(&bytes).and_then(|()| to.flush()).map_err(|error| format!("{method}: {error}"))?;
        let until = Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let heard = line.from.recv_timeout(left).map_err(|error| format!("{method}: {error}"))?;
            if heard["id"] == id {
                return match heard.get("error") {
                    Some(error) => Err(format!("{method}: {error}")),
                    None => Ok(heard["result"].clone()),
                };
            }
            line.keep(heard);
        }
    }

    fn must(&self, session: Option<&str>, method: &str, params: &Value) -> Value {
        self.ask(session, method, params)
            .unwrap_or_else(|error| panic!("{error}; the browser said:\n{}", self.launch.said()))
    }

    /// Waits for an event of a session that has not been waited for yet.
    fn event(&self, session: &str, method: &str) -> Result<Value, String> {
        let mut line = self.line();
        let until = Instant::now() + PATIENCE;
        loop {
            let is = |event: &Value| event["method"] == method && event["sessionId"] == session;
            if let Some(at) = line.events.iter().position(is) {
                return Ok(line.events.remove(at).unwrap_or_default());
            }
            let left = until.saturating_duration_since(Instant::now());
            let heard = line.from.recv_timeout(left).map_err(|error| format!("{method}: {error}"))?;
            line.keep(heard);
        }
    }
}

impl Line {
    fn keep(&mut self, event: Value) {
        if self.events.len() >= EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.ask(None, "Browser.close", &json!({}));
        // The end of the pipe is the end of the browser.
        self.line().to = None;
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = crate::process::until(STOP, || !matches!(child.try_wait(), Ok(None)));
        if !ended {
            let _ = child.kill();
        }
        let _ = child.wait();
    }
}

impl Page<'_> {
    fn must(&self, method: &str, params: &Value) -> Value {
        self.browser.must(Some(&self.session), method, params)
    }

    /// Does something that leads to another page, and waits until that one is loaded.
    fn leads_on(&self, work: impl FnOnce()) {
        let forget = |event: &Value| event["sessionId"] != self.session || event["method"] != "Page.loadEventFired";
        self.browser.line().events.retain(forget);
        work();
        let loaded = self.browser.event(&self.session, "Page.loadEventFired");
        loaded.unwrap_or_else(|error| panic!("no page was loaded: {error}"));
    }

    /// Opens an address, and waits until the page is loaded.
    ///
    /// # Panics
    /// If it cannot be.
    pub fn open(&self, url: &str) {
        self.leads_on(|| {
            let answer = self.must("Page.navigate", &json!({ "url": url }));
            assert!(answer.get("errorText").is_none(), "{url}: {answer}");
        });
    }

    /// Loads the page again, as its reader would.
    ///
    /// # Panics
    /// If it cannot be.
    pub fn reload(&self) {
        self.leads_on(|| drop(self.must("Page.reload", &json!({}))));
    }

    /// The value of an expression in the page; this runs also where the page's own script does not.
    ///
    /// # Panics
    /// If it throws.
    #[must_use]
    pub fn evaluate(&self, expression: &str) -> Value {
        let ask = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let answer = self.must("Runtime.evaluate", &ask);
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Where the page is.
    #[must_use]
    pub fn url(&self) -> String {
        self.evaluate("location.href").as_str().unwrap_or_default().to_owned()
    }

    /// The text of the first element that is meant, as its reader sees it; `None` if there is none.
    #[must_use]
    pub fn text(&self, selector: &str) -> Option<String> {
        let text = self.evaluate(&format!("document.querySelector({})?.innerText", json!(selector)));
        text.as_str().map(String::from)
    }

    /// How many elements are meant.
    #[must_use]
    pub fn count(&self, selector: &str) -> u64 {
        self.evaluate(&format!("document.querySelectorAll({}).length", json!(selector))).as_u64().unwrap_or(0)
    }

    /// Whether the page is wider than its window.
    #[must_use]
    pub fn scrolls_sideways(&self) -> bool {
        self.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth") == true
    }

    /// Writes into a field, as by keys.
    ///
    /// # Panics
    /// If there is no such field.
    pub fn write(&self, selector: &str, text: &str) {
        let found = self.evaluate(&format!(
            "(() => {{ const field = document.querySelector({}); field?.focus(); field?.select?.(); return !!field }})()",
            json!(selector)
        ));
        assert!(found == true, "there is no {selector}");
        self.must("Input.insertText", &json!({ "text": text }));
    }

    /// Presses and releases the mouse in the middle of the first element that is meant, once it is in view.
    ///
    /// # Panics
    /// If there is none, or it cannot be seen.
    pub fn press(&self, selector: &str) {
        let place = self.evaluate(&format!(
            "(() => {{ const it = document.querySelector({0}); if (!it) return null; it.scrollIntoView({{ block: 'center', behavior: 'instant' }}); \
             const box = it.getBoundingClientRect(); return box.width && box.height ? [box.x + box.width / 2, box.y + box.height / 2] : null }})()",
            json!(selector)
        ));
        let (Some(x), Some(y)) = (place[0].as_f64(), place[1].as_f64()) else { panic!("nobody sees {selector}") };
        for kind in ["mousePressed", "mouseReleased"] {
            self.must(
                "Input.dispatchMouseEvent",
                &json!({ "type": kind, "x": x, "y": y, "button": "left", "clickCount": 1 }),
            );
        }
    }

    /// As [`Page::press`], of something that leads to another page: waits until it is loaded.
    ///
    /// # Panics
    /// As there, or if no page is loaded.
    pub fn click(&self, selector: &str) {
        self.leads_on(|| self.press(selector));
    }

    /// Waits until an expression is true in the page.
    ///
    /// # Panics
    /// If it does not become so in time.
    pub fn until(&self, expression: &str) {
        let so = crate::process::until(PATIENCE, || self.evaluate(&format!("!!({expression})")) == true);
        assert!(so, "not in time: {expression}");
    }

    /// Writes what is seen into a PNG.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn screenshot(&self, file: &Path) {
        let answer = self.must("Page.captureScreenshot", &json!({ "format": "png", "captureBeyondViewport": true }));
        let picture = base64(answer["data"].as_str().unwrap_or_default());
        std::fs::write(file, picture).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
}

impl Drop for Page<'_> {
    fn drop(&mut self) {
        let context = json!({ "browserContextId": self.context });
        let _ = self.browser.ask(None, "Target.disposeBrowserContext", &context);
    }
}

/// The bytes of a base64 text.
fn base64(text: &str) -> Vec<u8> {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let (mut bytes, mut bits, mut held) = (Vec::with_capacity(text.len() / 4 * 3), 0_u32, 0);
    for six in text.bytes().filter_map(value) {
        bits = (bits << 6) | u32::from(six);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from((bits >> held) & 0xff).unwrap_or(0));
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_read_from_its_text() {
        assert_eq!(base64("iVBORw0KGgo="), b"\x89PNG\r\n\x1a\n");
        assert_eq!(base64("AA=="), [0]);
        assert_eq!(base64(""), [0_u8; 0]);
    }
}
