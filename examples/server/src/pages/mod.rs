//! Pages: server-rendered, complete without script; script only makes them live.
//!
//! Owns who looks (a cookie, while dev.members is on), what he is told after a form, and how a page is answered. What pages
//! show is in [`show`], [`room`] and [`offer`], what forms do in [`forms`]. Every rule is the library's, by the same calls as the API.

mod forms;
mod offer;
mod room;
mod show;
mod words;

use askama::Template;
use axum::Router;
use axum::body::Body;
use axum::http::header::{
    ACCEPT, ACCEPT_LANGUAGE, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, LOCATION, RETRY_AFTER, VARY,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use flashsale_core::BuyerId;

use crate::app::App;
use crate::config::Switch;
use crate::extract;
use crate::language::{Language, Phrase};
use crate::problem::{CODES, Problem};

/// The cookie that names the member.
const COOKIE_NAME: &str = "member";

/// What a page may do: its own style and script, its own server, nothing else.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; \
                      img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/", get(show::home))
        .route("/sales/{id}", get(show::sale))
        .route("/sales/{id}/room", get(room::page).post(forms::join))
        .route("/sales/{id}/room/leave", post(forms::leave))
        .route("/sales/{id}/room/extension", post(forms::extend))
        .route("/sales/{id}/waitlist", post(forms::wish))
        .route("/sales/{id}/waitlist/leave", post(forms::unwish))
        .route("/offers/{id}", get(offer::page))
        .route("/offers/{id}/accept", post(forms::take))
        .route("/offers/{id}/decline", post(forms::decline))
        .route("/orders", get(show::orders))
        .route("/orders/{id}", get(show::order))
        .route("/member", post(forms::member))
        .route("/wallet", post(forms::wallet))
        .route("/sales/{id}/orders", post(forms::buy))
        .route("/campaigns/{id}/coupons", post(forms::claim))
        .route("/orders/{id}/cancel", post(forms::cancel))
        .route("/orders/{id}/return", post(forms::take_back))
}

/// What every page has around it.
#[derive(Debug)]
struct Frame {
    language: Language,
    dev: bool,
    member: String,
    /// Where forms lead back to.
    back: String,
    said: Option<Said>,
    now: String,
}

/// What somebody is told after a form.
#[derive(Debug)]
struct Said {
    words: String,
    good: bool,
}

/// What is handed from a form to the page after it.
#[derive(Debug, Default, serde::Deserialize)]
struct Asked {
    /// A code of [`CODES`], or of [`GOOD`].
    said: Option<String>,
    /// The key of an attempt that promised nothing: the page offers the same one again.
    key: Option<String>,
}

/// What is told after a form that did what it was asked.
const GOOD: [(&str, &str); 2] = [("claimed", "The coupon is yours."), ("charged", "The money is in your wallet.")];

impl Frame {
    fn of(app: &App, headers: &HeaderMap, uri: &Uri, asked: &Asked) -> Self {
        let said = asked.said.as_deref().and_then(|code| {
            let good = GOOD.iter().find(|row| row.0 == code).map(|row| Said { words: row.1.to_owned(), good: true });
            let bad = CODES.iter().find(|row| row.0 == code);
            good.or_else(|| bad.map(|row| Said { words: format!("{}.{}", row.2, words::again(row.1)), good: false }))
        });
        let accept = headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
        Self {
            language: accept.map_or(Language::English, Language::asked),
            dev: app.config().dev_members == Switch::On,
            member: member(app, headers).map(String::from).unwrap_or_default(),
            back: uri.path().to_owned(),
            said,
            now: app.now().to_string(),
        }
    }

    /// Words in the language of the reader.
    fn say(&self, phrase: Phrase) -> String {
        phrase.say(self.language, &[])
    }
}

/// Who looks, if he took a name.
fn member(app: &App, headers: &HeaderMap) -> Option<BuyerId> {
    if app.config().dev_members == Switch::Off {
        return None;
    }
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let (_, name) = pairs.find(|(name, _)| *name == COOKIE_NAME)?;
    extract::named_member(name).ok()
}

/// A new key for a form.
fn fresh_key(app: &App) -> String {
    let host = &app.wired().host;
    format!("web-{:016x}{:016x}", host.random(), host.random())
}

/// The key of a form: that of the attempt before, if it promised nothing.
fn form_key(app: &App, asked: &Asked) -> String {
    let before = asked.key.as_deref().filter(|key| extract::named_key(key).is_ok());
    before.map_or_else(|| fresh_key(app), str::to_owned)
}

fn page(status: StatusCode, template: &impl Template) -> Response {
    let mut response = match template.render() {
        Ok(page) => Response::new(Body::from(page)),
        Err(error) => {
            tracing::error!(%error, "a page cannot be drawn");
            return Problem::new("defect", "this page cannot be drawn").into_response();
        }
    };
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(VARY, HeaderValue::from_static("Cookie, Accept-Language"));
    response
}

/// Sends the reader to another page, by GET.
fn see(place: &str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    // Places are made of ids and codes; one that is not goes home.
    let place = HeaderValue::from_str(place).unwrap_or(HeaderValue::from_static("/"));
    response.headers_mut().insert(LOCATION, place);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage<'a> {
    frame: Frame,
    title: &'a str,
    detail: &'a str,
}

/// A problem as a page.
fn problem_page(app: &App, headers: &HeaderMap, uri: &Uri, problem: &Problem) -> Response {
    let mut frame = Frame::of(app, headers, uri, &Asked::default());
    "/".clone_into(&mut frame.back);
    let view = ProblemPage { frame, title: problem.title(), detail: problem.detail() };
    let mut response = page(problem.status(), &view);
    if let Some(wait) = problem.clone().into_response().headers().get(RETRY_AFTER) {
        response.headers_mut().insert(RETRY_AFTER, wait.clone());
    }
    response
}

/// A problem for whoever asked: a page for a browser, JSON for a program.
pub(crate) fn problem_for(app: &App, headers: &HeaderMap, uri: &Uri, problem: Problem) -> Response {
    let browser = headers.get(ACCEPT).is_some_and(|value| value.as_bytes().starts_with(b"text/html"));
    if browser { problem_page(app, headers, uri, &problem) } else { problem.into_response() }
}
