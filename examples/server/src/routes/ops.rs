//! What every service has: a route that does nothing, health, readiness, version, metrics.

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Answer, json};
use crate::app::App;
use crate::board::Pulse;
use crate::problem::{At, Problem};

/// Passes that run all the time, and how long they may be silent.
const PULSES: [&str; 2] = ["follow", "recover"];
const SILENT_MAX: Duration = Duration::from_secs(10);

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(hello))
        .routes(routes!(health))
        .routes(routes!(ready))
        .routes(routes!(version))
        .routes(routes!(metrics))
}

fn text(words: &'static str) -> Response {
    let mut response = Response::new(Body::from(words));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// Does nothing: what other routes are measured against.
#[utoipa::path(get, path = "/hello", tag = "operation", responses((status = 200, description = "hello")))]
async fn hello() -> Response {
    text("hello")
}

/// Says that the process runs.
#[utoipa::path(get, path = "/healthz", tag = "operation", responses((status = 200, description = "ok")))]
async fn health() -> Response {
    text("ok")
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Readiness {
    /// ready, once ledger and gate answer and the workers run.
    status: &'static str,
    /// What the gate is kept in: memory, redis, redis+sentinel, redis+cluster.
    gate: &'static str,
    /// The server's time.
    #[schema(value_type = String)]
    server_time: At,
}

/// Says whether ledger and gate answer, the workers run and the server is here to stay.
#[utoipa::path(get, path = "/readyz", tag = "operation", responses((status = 200, body = Readiness), (status = 503, description = "unavailable")))]
async fn ready(State(app): State<App>) -> Answer {
    let wait = Some(Duration::from_secs(1));
    if app.leaves() {
        return Err(Problem::new("unavailable", "this server leaves: send requests to others").retry_after(wait));
    }
    if let Err(error) = app.flash().stock.sales().await {
        tracing::warn!(%error, "not ready: the ledger does not answer");
        return Err(Problem::new("unavailable", "the ledger does not answer").retry_after(wait));
    }
    // As of the last look, at most a second ago: who asks here does not reach Redis.
    if let Pulse::Lost(error) = app.board().pulse() {
        tracing::warn!(%error, "not ready: the gate does not answer");
        let gate = app.wired().kept.word();
        let why = format!("the gate ({gate}) is {}: purchases are answered 503 until it answers", error.code());
        return Err(Problem::new("unavailable", why).retry_after(wait));
    }
    let (now, reports) = (app.now(), app.flash().reports());
    for pulse in PULSES {
        // A clock that was moved makes a pass look late until it runs again.
        let beats = reports.get(pulse).is_some_and(|report| now.since(report.last_run) < SILENT_MAX);
        if !beats {
            return Err(Problem::new("unavailable", format!("the pass {pulse} does not run")).retry_after(wait));
        }
    }
    Ok(json(StatusCode::OK, &Readiness { status: "ready", gate: app.wired().kept.word(), server_time: At(now) }))
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Version {
    name: &'static str,
    version: &'static str,
    gate: &'static str,
    ledger: &'static str,
    events: &'static str,
    /// For what orders and claims wait: ledger, log, volatile-log.
    intake: &'static str,
}

/// Says what runs here.
#[utoipa::path(get, path = "/version", tag = "operation", responses((status = 200, body = Version)))]
async fn version(State(app): State<App>) -> Response {
    let view = Version {
        name: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
        gate: app.wired().kept.word(),
        ledger: app.config().sql_url.word(),
        events: if app.config().kafka_brokers.is_some() { "kafka" } else { "process" },
        intake: app.config().sale_intake.word(),
    };
    json(StatusCode::OK, &view)
}

/// Shows the measures, for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "operation", responses((status = 200, description = "text/plain; version=0.0.4")))]
async fn metrics(State(app): State<App>) -> Response {
    let mut response = Response::new(Body::from(app.meters().page(&app)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4"));
    response
}
