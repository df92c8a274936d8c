//! `/ops/v1/dead-letters`: what consumers gave up on; looking, replaying, discarding.
//!
//! Open to everybody who may name himself as any member: without a log-in for operators, `dev.members` is what they have in common.

use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use flashsale_core::engine::Dealt;
use flashsale_core::event::{DeadLetter, LetterName, Replay, Why};
use hyper::Request;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Answer, dev, json, page_size};
use crate::app::App;
use crate::extract::{self, Name};
use crate::problem::{At, Problem};

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show)).routes(routes!(replay)).routes(routes!(discard))
}

/// An event that a consumer gave up on.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LetterView {
    /// Its name: the consumer and the event's id, joined by a slash, which is `%2F` in a path.
    id: String,
    /// Which consumer.
    consumer: String,
    /// Why it gave up.
    reason: String,
    /// How often it tried.
    tries: u32,
    /// When it gave up.
    #[schema(value_type = String)]
    at: At,
    /// open, replayed, discarded.
    status: &'static str,
    /// Why it was discarded.
    #[serde(skip_serializing_if = "Option::is_none")]
    discarded: Option<String>,
    /// The event.
    event: LetterEvent,
}

/// The event of a dead letter.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LetterEvent {
    /// Its stable id.
    id: String,
    /// Its type, such as `flashsale.order.accepted.v1`.
    #[serde(rename = "type")]
    kind: String,
    /// What it is about.
    subject: String,
    /// When it became true.
    #[schema(value_type = String)]
    time: At,
    /// The trace of the request that caused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
}

impl LetterView {
    fn of(letter: DeadLetter, settled: Option<Replay>) -> Self {
        let (status, discarded) = match settled {
            None => ("open", None),
            Some(Replay::Replayed) => ("replayed", None),
            Some(Replay::Discarded(why)) => ("discarded", Some(String::from(why))),
        };
        let event = LetterEvent {
            id: letter.event.id(),
            kind: letter.event.wire_type(),
            time: At(letter.event.time),
            traceparent: letter.event.trace.map(|trace| trace.to_string()),
            subject: letter.event.subject.clone(),
        };
        let id = letter.name().to_string();
        let DeadLetter { consumer, reason, tries, at, .. } = letter;
        Self { id, consumer, reason, tries, at: At(at), status, discarded, event }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LetterPage {
    /// Oldest first. Those behind them show when these are dealt with.
    letters: Vec<LetterView>,
    /// The server's time.
    #[schema(value_type = String)]
    server_time: At,
}

/// What became of a letter.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DealtView {
    /// Its name.
    id: String,
    /// replayed, discarded.
    status: &'static str,
    /// The server's time.
    #[schema(value_type = String)]
    server_time: At,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    limit: Option<u64>,
}

/// Lists what nobody has dealt with.
#[utoipa::path(get, path = "/ops/v1/dead-letters", tag = "operation",
    params(("limit" = Option<u64>, Query, description = "1 to 100")),
    responses((status = 200, body = LetterPage), (status = 403, description = "switched_off")))]
async fn list(State(app): State<App>, uri: Uri) -> Answer {
    dev::switched_on(app.config().dev_members)?;
    let query: ListQuery = extract::query(&uri)?;
    let letters = app.flash().dead_letters().open(page_size(query.limit)?).await?;
    let letters = letters.into_iter().map(|letter| LetterView::of(letter, None)).collect();
    Ok(json(StatusCode::OK, &LetterPage { letters, server_time: At(app.now()) }))
}

fn named(text: &str) -> Result<LetterName, Problem> {
    text.parse().map_err(|_| unknown())
}

fn unknown() -> Problem {
    Problem::new("not_found", "there is no such letter")
}

/// Shows a letter, also one that was dealt with.
#[utoipa::path(get, path = "/ops/v1/dead-letters/{id}", tag = "operation", params(("id" = String, Path)),
    responses((status = 200, body = LetterView), (status = 403, description = "switched_off"), (status = 404, description = "not_found")))]
async fn show(State(app): State<App>, Name(id): Name) -> Answer {
    dev::switched_on(app.config().dev_members)?;
    let (letter, settled) = app.flash().dead_letters().letter(&named(&id)?).await?.ok_or_else(unknown)?;
    Ok(json(StatusCode::OK, &LetterView::of(letter, settled)))
}

fn dealt(app: &App, name: &LetterName, status: &'static str, dealt: Dealt) -> Response {
    let given = match dealt {
        Dealt::Now => super::Given::First,
        Dealt::Before => super::Given::Before,
    };
    super::written(StatusCode::OK, &DealtView { id: name.to_string(), status, server_time: At(app.now()) }, given)
}

/// Hands a letter's event to its consumer once more, under the same id. A repeat changes nothing.
#[utoipa::path(post, path = "/ops/v1/dead-letters/{id}/replay", tag = "operation", params(("id" = String, Path)),
    responses((status = 200, body = DealtView), (status = 403, description = "switched_off"), (status = 404, description = "not_found"),
        (status = 409, description = "letter_settled: it was discarded; consumer_gone; failed_again"),
        (status = 503, description = "It stays open, with or without its effect: replay it again")))]
async fn replay(State(app): State<App>, Name(id): Name, request: Request<Body>) -> Answer {
    dev::switched_on(app.config().dev_members)?;
    let (parts, body) = request.into_parts();
    extract::nothing(&app, &parts.headers, body).await?;
    let name = named(&id)?;
    let done = app.flash().dead_letters().replay(&name).await?;
    Ok(dealt(&app, &name, "replayed", done))
}

/// Why a letter is discarded.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct DiscardBody {
    /// One line of 1 to 200 characters.
    reason: String,
}

/// Marks a letter as never to be replayed. It is kept, with the reason.
#[utoipa::path(post, path = "/ops/v1/dead-letters/{id}/discard", tag = "operation", request_body = DiscardBody, params(("id" = String, Path)),
    responses((status = 200, body = DealtView), (status = 403, description = "switched_off"), (status = 404, description = "not_found"),
        (status = 409, description = "letter_settled: it was replayed"), (status = 422, description = "invalid: no reason")))]
async fn discard(State(app): State<App>, Name(id): Name, request: Request<Body>) -> Answer {
    dev::switched_on(app.config().dev_members)?;
    let (parts, body) = request.into_parts();
    let body: DiscardBody = extract::json(&app, &parts.headers, body).await?;
    let why = Why::new(&body.reason).map_err(|bad| Problem::invalid(format!("reason: {bad}")))?;
    let name = named(&id)?;
    let done = app.flash().dead_letters().discard(&name, why).await?;
    Ok(dealt(&app, &name, "discarded", done))
}
