//! The layer before routes that cannot stand a rush: who has an admission is through, who has none enters the room.
//!
//! No request goes around it: one that is not let through never reaches what it protects, whatever its method. If the room cannot be asked, nobody is let
//! through (503): it fails closed.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{ACCEPT, LOCATION};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use flashsale_core::{BuyerId, WaitingRoom};
use tower::{Layer, Service};

use crate::answers;
use crate::door::{Confirm, Stopped, Through, knock};
use crate::problem::Problem;
use crate::routes::Who;
use crate::told::PlaceTold;

/// The layer; see [`admitted`].
#[derive(Clone)]
pub struct Admitted(Arc<Guard>);

#[derive(Clone)]
struct Guard {
    room: WaitingRoom,
    who: Who,
    page: String,
    confirm: Confirm,
}

impl std::fmt::Debug for Admitted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admitted").field("room", &self.0.room).field("page", &self.0.page).finish_non_exhaustive()
    }
}

/// A layer that lets only admitted members through. `who` tells who asks.
///
/// An admission travels in the header `Flashsale-Admission` or in the room's cookie. Without one the member enters the room: if the door is
/// closed, or it is his turn, he is through and gets the admission for his next request; else a browser is sent to the room's page (303) and any
/// other client told 403 `admission_required` with his place. A *header* with a value that is worth nothing is told so: 403 `admission_forged`,
/// `admission_foreign`, `admission_expired` or `admission_used`; a cookie like that is as none. The [`Claim`](flashsale_core::queue::Claim) is in the request's extensions for the
/// handler.
///
/// Use it as a `route_layer`, on every route that writes what the room protects.
pub fn admitted(room: WaitingRoom, who: impl Fn(&Parts) -> Option<BuyerId> + Send + Sync + 'static) -> Admitted {
    Admitted(Arc::new(Guard { room, who: Arc::new(who), page: "/room".to_owned(), confirm: Confirm::Here }))
}

impl Admitted {
    fn with(self, change: impl FnOnce(&mut Guard)) -> Self {
        let mut guard = Arc::unwrap_or_clone(self.0);
        change(&mut guard);
        Self(Arc::new(guard))
    }

    /// Where people wait. Default `/room`.
    #[must_use]
    pub fn page(self, path: &str) -> Self {
        self.with(|guard| path.clone_into(&mut guard.page))
    }

    /// How an admission is checked. Default [`Confirm::Here`].
    #[must_use]
    pub fn confirm(self, confirm: Confirm) -> Self {
        self.with(|guard| guard.confirm = confirm)
    }
}

impl<S> Layer<S> for Admitted {
    type Service = Admit<S>;

    fn layer(&self, inner: S) -> Admit<S> {
        Admit { guard: self.0.clone(), inner }
    }
}

/// What [`admitted`] makes of a service.
#[derive(Clone)]
pub struct Admit<S> {
    guard: Arc<Guard>,
    inner: S,
}

impl<S> std::fmt::Debug for Admit<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admit").field("room", &self.guard.room).finish_non_exhaustive()
    }
}

impl<S> Service<Request> for Admit<S>
where
    S: Service<Request, Response = Response> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let guard = self.guard.clone();
        // The one that is ready is taken; its clone is asked for readiness before it serves.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            match guard.let_through(&parts).await {
                Ok(Through { claim, given }) => {
                    parts.extensions.insert(claim);
                    let mut response = inner.call(Request::from_parts(parts, body)).await?;
                    if let Some(admission) = given {
                        answers::keep(&guard.room, &admission, &mut response);
                    }
                    Ok(response)
                }
                Err(no) => Ok(*no),
            }
        })
    }
}

impl Guard {
    async fn let_through(&self, parts: &Parts) -> Result<Through, Box<Response>> {
        let Some(member) = (self.who)(parts) else { return Err(no(Problem::nobody())) };
        match knock(&self.room, &member, &parts.headers, self.confirm).await {
            Ok(through) => Ok(through),
            Err(Stopped::Token(refusal)) => Err(no(Problem::of_token(refusal, &self.page))),
            Err(Stopped::Refused(refusal)) => Err(no(Problem::of_entering(&refusal, self.room.now()))),
            Err(Stopped::Failed(error)) => Err(no(Problem::of_failure(&error))),
            Err(Stopped::Waits(_)) if wants_a_page(parts) => {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::SEE_OTHER;
                if let Ok(page) = HeaderValue::from_str(&self.page) {
                    response.headers_mut().insert(LOCATION, page);
                }
                Err(Box::new(response))
            }
            Err(Stopped::Waits(view)) => Err(no(Problem::admission_required(&self.page, PlaceTold::from(*view)))),
        }
    }
}

fn no(problem: Problem) -> Box<Response> {
    Box::new(problem.into_response())
}

/// Whether a browser asks, that shows a page.
fn wants_a_page(parts: &Parts) -> bool {
    let accepts = parts.headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepts.flat_map(|value| value.split(',')).any(|kind| kind.trim().starts_with("text/html"))
}
