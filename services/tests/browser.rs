//! A browser starts, shows pages with and without script, and goes.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;

use flashsale_services::browser::{Browser, Script, Window};

/// Serves the same page to everybody.
fn serve(page: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let _ = stream.read(&mut [0; 4_096]);
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    page.len()
                );
                let _ = stream.write_all((head + page).as_bytes());
            });
        }
    });
    url
}

const PAGE: &str = "<!doctype html><title>t</title><meta name=viewport content='width=device-width, initial-scale=1'>\
    <h1>before</h1><form><input name=who><button>go</button></form><div id=wide style='width:700px'>wide</div>\
    <script>document.querySelector('h1').innerText = 'after'</script>";

#[test]
fn pages_are_seen_as_their_readers_see_them_with_and_without_script() {
    let url = serve(PAGE);
    let browser = Browser::start();
    for (script, heading) in [(Script::On, "after"), (Script::Off, "before")] {
        let page = browser.page(Window::PHONE, script);
        page.open(&url);
        assert_eq!(page.text("h1").as_deref(), Some(heading), "{script:?}");
        assert!(page.scrolls_sideways(), "700 pixels in 360");
        assert_eq!((page.count("button"), page.text("h6")), (1, None));
        page.write("input", "ann");
        page.click("button");
        assert_eq!(page.url(), format!("{url}?who=ann"));
        page.reload();
        let file = tempfile::NamedTempFile::new().unwrap();
        page.screenshot(file.path());
        assert!(std::fs::read(file.path()).unwrap().starts_with(b"\x89PNG"));
    }
    let desk = browser.page(Window::DESK, Script::On);
    desk.open(&url);
    assert!(!desk.scrolls_sideways());
}
