//! Problems as `application/problem+json` (RFC 9457), each with core's stable code.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use flashsale_core::queue::{EnterRefusal, TokenRefusal, TurnRefusal};
use flashsale_core::{BackendError, Timestamp};
use serde::Serialize;

use crate::told::PlaceTold;

/// Why a request was not served. *503 always means that nothing was promised: repeat it.*
#[derive(Debug, Clone, Serialize)]
pub struct Problem {
    #[serde(rename = "type")]
    kind: String,
    title: String,
    status: u16,
    code: &'static str,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_s: Option<u64>,
    /// Where to wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<String>,
    /// Where the member stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<Box<PlaceTold>>,
}

impl Problem {
    /// A problem of this code.
    #[must_use]
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("Problem").to_owned();
        Self {
            kind: format!("urn:flashsale:problem:{code}"),
            title,
            status: status.as_u16(),
            code,
            detail: detail.into(),
            retry_after_s: None,
            link: None,
            place: None,
        }
    }

    /// Says when to come again.
    #[must_use]
    pub fn retry_after(mut self, wait: Option<Duration>) -> Self {
        // Rounded up: coming too early helps nobody.
        self.retry_after_s = wait.map(|wait| u64::try_from(wait.as_millis().div_ceil(1_000)).unwrap_or(u64::MAX));
        self
    }

    /// The request needs an admission, and there is none: here is where to wait.
    pub(crate) fn admission_required(link: &str, place: PlaceTold) -> Self {
        let detail = "many people want this now: wait for your turn in the room";
        Self {
            link: Some(link.to_owned()),
            place: Some(Box::new(place)),
            ..Self::new(StatusCode::FORBIDDEN, "admission_required", detail)
        }
    }

    /// Nobody is known to ask.
    pub(crate) fn nobody() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "member_unknown", "we do not know who is asking")
    }

    /// Why nobody is let in.
    pub(crate) fn of_entering(refusal: &EnterRefusal, now: Timestamp) -> Self {
        let status = match refusal {
            EnterRefusal::TooEarly { .. } => StatusCode::FORBIDDEN,
            EnterRefusal::Over => StatusCode::GONE,
            EnterRefusal::Full => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, refusal.code(), refusal.to_string()).retry_after(refusal.retry_after(now))
    }

    /// Why there is no turn.
    pub(crate) fn of_turn(refusal: &TurnRefusal) -> Self {
        let status = match refusal {
            TurnRefusal::NoPlace => StatusCode::NOT_FOUND,
            TurnRefusal::NotYet(_) | TurnRefusal::NoneLeft => StatusCode::CONFLICT,
            TurnRefusal::TurnPassed | TurnRefusal::Done(_) => StatusCode::GONE,
        };
        Self::new(status, refusal.code(), refusal.to_string())
    }

    /// Why an admission is worth nothing.
    pub(crate) fn of_token(refusal: TokenRefusal, link: &str) -> Self {
        Self { link: Some(link.to_owned()), ..Self::new(StatusCode::FORBIDDEN, refusal.code(), refusal.to_string()) }
    }

    /// Something below failed: nothing was promised. The cause is for the log, not for strangers.
    pub(crate) fn of_failure(error: &BackendError) -> Self {
        let detail = "nothing was promised; please repeat the request";
        let wait = Some(Duration::from_secs(1));
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error.code(), detail).retry_after(wait)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(wait) = self.retry_after_s {
            headers.insert(RETRY_AFTER, HeaderValue::from(wait));
        }
        response
    }
}
