//! Routes for development only: the clock, and whether everything has settled. Each answers 403 unless its switch is on.

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use flashsale_core::Timestamp;
use hyper::Request;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::sales::moment;
use super::{Answer, json};
use crate::app::App;
use crate::config::Switch;
use crate::extract;
use crate::problem::{At, Problem};

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(set_clock)).routes(routes!(settled)).routes(routes!(recall))
}

/// Refuses where a switch is off.
pub(crate) fn switched_on(switch: Switch) -> Result<(), Problem> {
    match switch {
        Switch::On => Ok(()),
        Switch::Off => Err(Problem::new("switched_off", "see dev.members and dev.clock in the configuration")),
    }
}

/// Where the clock goes.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ClockBody {
    /// RFC 3339, or milliseconds since 1970; not before the server's own time.
    #[serde(deserialize_with = "moment")]
    #[schema(value_type = String)]
    now: Option<Timestamp>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ClockView {
    /// The server's time.
    #[schema(value_type = String)]
    server_time: At,
}

/// Moves the server's clock forward (development): gate, ledger and workers go by it.
#[utoipa::path(put, path = "/dev/v1/clock", tag = "development", request_body = ClockBody,
    responses((status = 200, body = ClockView), (status = 403, description = "switched_off"), (status = 422, description = "clock, invalid")))]
async fn set_clock(State(app): State<App>, request: Request<Body>) -> Answer {
    switched_on(app.config().dev_clock)?;
    let (parts, body) = request.into_parts();
    let ClockBody { now } = extract::json(&app, &parts.headers, body).await?;
    let to = now.ok_or_else(|| Problem::invalid("now: a time is RFC 3339, or milliseconds"))?;
    if to < app.now() {
        return Err(Problem::new("clock", "the clock only goes forward"));
    }
    let now = app.clock().forward(to);
    tracing::warn!(%now, "the clock was moved by dev.clock");
    Ok(json(StatusCode::OK, &ClockView { server_time: At(now) }))
}

/// The most requests that one call has decided again.
const RECALLED_MAX: usize = 1_000;

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RecalledView {
    /// How many.
    recalled: usize,
}

/// Has recorded requests that were set aside decided again, at most 1,000 (development).
#[utoipa::path(post, path = "/dev/v1/intake/recall", tag = "development", responses((status = 200, body = RecalledView), (status = 403, description = "switched_off")))]
async fn recall(State(app): State<App>) -> Answer {
    switched_on(app.config().dev_members)?;
    let recalled = app.flash().orders.recall(RECALLED_MAX).await?;
    Ok(json(StatusCode::OK, &RecalledView { recalled }))
}

/// What is still on its way.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SettledView {
    /// Orders that are neither at their end nor stuck.
    open_orders: i64,
    /// Facts that have not left the outbox.
    unsent_events: i64,
    /// Units held for orders that are not decided.
    holds: u64,
    /// Orders whose time has come.
    due: i64,
    /// The server's time.
    #[schema(value_type = String)]
    server_time: At,
}

/// Tells whether everything has settled (development).
#[utoipa::path(get, path = "/dev/v1/settled", tag = "development", responses((status = 200, body = SettledView), (status = 403, description = "switched_off")))]
async fn settled(State(app): State<App>) -> Answer {
    switched_on(app.config().dev_members)?;
    let now = app.now();
    let mut holds = 0;
    for sale in app.flash().stock.sales().await? {
        holds += app.flash().stock.level(&sale).await?.map_or(0, |level| level.holds);
    }
    let rows = app.counts().on_the_way(now).await?;
    let view = SettledView {
        open_orders: rows.open_orders,
        unsent_events: rows.unsent_events,
        holds,
        due: rows.due,
        server_time: At(now),
    };
    Ok(json(StatusCode::OK, &view))
}
