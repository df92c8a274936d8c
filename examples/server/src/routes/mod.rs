//! The routes, one file per noun: read the request, call the library, show the answer.
//!
//! Owns how answers look. Rules are the library's.

pub(crate) mod adjustments;
pub(crate) mod campaigns;
pub(crate) mod dev;
pub(crate) mod letters;
pub(crate) mod me;
pub(crate) mod ops;
pub(crate) mod orders;
pub(crate) mod quotes;
pub(crate) mod rooms;
pub(crate) mod sales;
pub(crate) mod waitlist;
pub(crate) mod wallet;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use serde::Serialize;

use crate::extract::REPLAYED;
use crate::problem::Problem;

/// What a handler answers.
pub(crate) type Answer = Result<Response, Problem>;

/// Whether an answer was given before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Given {
    First,
    Before,
    /// Not yet: it was recorded.
    Recorded,
}

impl From<flashsale_core::engine::Answer> for Given {
    fn from(answer: flashsale_core::engine::Answer) -> Self {
        match answer {
            flashsale_core::engine::Answer::First => Self::First,
            flashsale_core::engine::Answer::Repeated => Self::Before,
        }
    }
}

/// The most rows of a page, and how many it has when nobody says.
const PAGE: (usize, usize) = (100, 50);

/// How many rows a page has.
fn page_size(limit: Option<u64>) -> Result<usize, Problem> {
    match limit {
        None => Ok(PAGE.1),
        Some(limit) => match usize::try_from(limit) {
            Ok(limit) if (1..=PAGE.0).contains(&limit) => Ok(limit),
            _ => Err(Problem::invalid(format!("a page has 1 to {} rows", PAGE.0))),
        },
    }
}

/// A personal JSON answer.
pub(crate) fn json(status: StatusCode, view: &impl Serialize) -> Response {
    let mut body = Vec::with_capacity(512);
    // Writing to memory cannot fail, and no view has a key that is not a text.
    let _ = serde_json::to_writer(&mut body, view);
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The answer of a write under a key.
fn written(status: StatusCode, view: &impl Serialize, given: Given) -> Response {
    let mut response = json(status, view);
    if given == Given::Before {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

fn with(mut response: Response, name: HeaderName, value: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
    response
}
