//! The answers of a room's routes, for a service that has its own paths: who asks is known, what is said is core's, the status and the JSON are ours.

use axum::Json;
use axum::http::header::{CACHE_CONTROL, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use flashsale_core::engine::{Admission, Entrance, PlaceView};
use flashsale_core::error::Error;
use flashsale_core::queue::TurnRefusal;
use flashsale_core::{BuyerId, Timestamp, WaitingRoom};

use crate::problem::Problem;
use crate::token::Carries;
use crate::told::{AdmissionTold, NotNeeded, PlaceTold, Status};

/// A personal answer: nobody keeps it.
fn personal(status: StatusCode, body: impl serde::Serialize) -> Response {
    let mut response = (status, Json(body)).into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn with_place(room: &WaitingRoom, status: StatusCode, view: PlaceView) -> Response {
    let until = view.now.after(std::time::Duration::from_secs(86_400));
    let cookie = Carries::Ticket.set(room.id(), &view.ticket, until, view.now);
    let mut response = personal(status, PlaceTold::from(view));
    if let Some(cookie) = cookie {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}

/// Adds the cookie of an admission.
pub(crate) fn keep(room: &WaitingRoom, admission: &Admission, response: &mut Response) {
    if let Some(cookie) = Carries::Admission.set(room.id(), &admission.token, admission.until, admission.now) {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
}

fn with_admission(room: &WaitingRoom, admission: Admission) -> Response {
    let mut response = personal(StatusCode::OK, AdmissionTold::from(admission.clone()));
    keep(room, &admission, &mut response);
    response
}

/// The ticket that came with a request: the header's, or the cookie's.
#[must_use]
pub fn ticket<'a>(room: &WaitingRoom, headers: &'a HeaderMap) -> Option<&'a str> {
    Carries::Ticket.found(room.id(), headers)
}

/// The answer to a join where no room stands: 200, nobody has to wait.
#[must_use]
pub fn not_needed(now: Timestamp) -> Response {
    personal(StatusCode::OK, NotNeeded { status: Status::NotNeeded, admission: None, server_time: now })
}

/// The answer about a place where no room stands: 404 `no_place`.
#[must_use]
pub fn no_place() -> Response {
    Problem::of_turn(&TurnRefusal::NoPlace).into_response()
}

/// `POST place`: 201 for a new place, 200 for the one he has and for *not needed*; 403 `too_early`, 410 `closed`, 503.
pub async fn join(room: &WaitingRoom, member: &BuyerId, ticket: Option<&str>) -> Response {
    match room.enter(member, ticket).await {
        Ok(Entrance::New(view)) => with_place(room, StatusCode::CREATED, view),
        Ok(Entrance::Same(view)) => with_place(room, StatusCode::OK, view),
        Ok(Entrance::Through(admission)) => {
            let server_time = admission.now;
            let told = NotNeeded { status: Status::NotNeeded, admission: Some(admission.clone().into()), server_time };
            let mut response = personal(StatusCode::OK, told);
            keep(room, &admission, &mut response);
            response
        }
        Err(Error::Refused(refusal)) => Problem::of_entering(&refusal, room.now()).into_response(),
        Err(Error::Backend(error)) => Problem::of_failure(&error).into_response(),
    }
}

/// `GET place`: 200, or 404 `no_place`.
pub async fn place(room: &WaitingRoom, member: &BuyerId) -> Response {
    match room.place(member).await {
        Ok(Some(view)) => with_place(room, StatusCode::OK, view),
        Ok(None) => no_place(),
        Err(error) => Problem::of_failure(&error).into_response(),
    }
}

/// `DELETE place`: 204, also for one who has none.
pub async fn leave(room: &WaitingRoom, member: &BuyerId) -> Response {
    match room.leave(member).await {
        Ok(_) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => Problem::of_failure(&error).into_response(),
    }
}

/// `POST admission`: 200, the same again while the turn lasts; 202 with the place of one who waits; 404 `no_place`, 410 `turn_passed` or `finished`.
pub async fn admission(room: &WaitingRoom, member: &BuyerId) -> Response {
    match room.admission(member).await {
        Ok(admission) => with_admission(room, admission),
        Err(Error::Refused(TurnRefusal::NotYet(_))) => {
            let mut response = place(room, member).await;
            if response.status() == StatusCode::OK {
                *response.status_mut() = StatusCode::ACCEPTED;
            }
            response
        }
        Err(Error::Refused(refusal)) => Problem::of_turn(&refusal).into_response(),
        Err(Error::Backend(error)) => Problem::of_failure(&error).into_response(),
    }
}

/// `POST admission/extension`: 200; 404 `no_place`, 409 `none_left` or `not_yet`, 410 `turn_passed` or `finished`.
pub async fn extension(room: &WaitingRoom, member: &BuyerId) -> Response {
    match room.extend(member).await {
        Ok(admission) => with_admission(room, admission),
        Err(Error::Refused(refusal)) => Problem::of_turn(&refusal).into_response(),
        Err(Error::Backend(error)) => Problem::of_failure(&error).into_response(),
    }
}
