//! The listener: connections, limits, deadlines, and a shutdown that loses nothing.
//!
//! Serves HTTP/1.1 by hyper itself, because a client that sends its head slowly must be cut off. Owns how many connections and
//! requests there are at a time, how long each may take, and in which order things end. Does not know any route.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use flashsale_core::BackendError;
use futures_util::FutureExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

use crate::app::{App, router};
use crate::config::{Config, Switch};
use crate::events::EventsError;
use crate::gate::GateError;
use crate::ledger::LedgerError;
use crate::problem::Problem;
use crate::{routes, seed, stream, wiring};

/// How often public faces are renewed.
const RENEW_EVERY: Duration = Duration::from_secs(1);
/// How many renewals lie between two heartbeats of streams.
const HEARTBEAT_EVERY: u64 = 15;
/// How long a failing accept is left alone, such as when the process has no file left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The ledger cannot be opened.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The ledger failed once it was open, or cannot be wired.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The gate on Redis cannot be used.
    #[error(transparent)]
    Gate(#[from] GateError),
    /// Events on Kafka cannot be used.
    #[error(transparent)]
    Events(#[from] EventsError),
    /// The address cannot be listened on.
    #[error("{address}: {error}")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// Why.
        error: std::io::Error,
    },
}

/// A server that runs.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
    silent: Option<BackendError>,
}

impl Running {
    /// Why the gate did not answer at the start, if it did not: nothing is sold until it does.
    #[must_use]
    pub fn gate_is_silent(&self) -> Option<&BackendError> {
        self.silent.as_ref()
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops it: says that it leaves, for as long as was set; then no new requests, answers to what is on its way, then the workers.
    pub async fn stop(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the server ended badly");
        }
    }
}

/// Opens the ledger, seeds it, runs the workers and serves.
///
/// # Errors
/// [`StartError`].
pub async fn start(config: Config) -> Result<Running, StartError> {
    let wired = wiring::wire(&config).await?;
    if config.seed_enabled == Switch::On {
        seed::plant(&wired, &config).await?;
    }
    let (bind, silent) = (config.http_bind, wired.silent.clone());
    let app = App::new(config, wired)?;
    app.board().renew(app.flash(), app.now()).await?;
    let failed = |error| StartError::Bind { address: bind, error };
    let listener = TcpListener::bind(bind).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let stop = CancellationToken::new();
    let task = tokio::spawn(run(app, listener, stop.clone()));
    Ok(Running { address, stop, task, silent })
}

/// Serves until told to stop, then ends everything in order.
async fn run(app: App, listener: TcpListener, stop: CancellationToken) {
    let stop_workers = CancellationToken::new();
    let workers = tokio::spawn(app.flash().workers().run(stop_workers.clone().cancelled_owned()));
    let watch = tokio::spawn(keep_watch(app.clone(), stop_workers.clone()));
    let connections = TaskTracker::new();

    let closed = CancellationToken::new();
    tokio::join!(accept(&app, listener, &closed, &connections), async {
        stop.cancelled().await;
        app.leave();
        tokio::time::sleep(Duration::from_millis(app.config().http_drain_ms)).await;
        closed.cancel();
    });

    let patience = Duration::from_millis(app.config().http_shutdown_ms);
    app.board().tell_all(&stream::BYE);
    connections.close();
    if tokio::time::timeout(patience, connections.wait()).await.is_err() {
        tracing::warn!(left = connections.len(), "some connections did not end in time");
    }
    let drained = app.flash().drain(patience).await;
    tracing::info!(?drained, "no request is on its way");
    stop_workers.cancel();
    for task in [workers, watch] {
        if let Err(error) = task.await {
            tracing::error!(%error, "a worker ended badly");
        }
    }
    app.counts().close().await;
    app.wired().own.close().await;
    app.wired().ledger.close().await;
}

/// Renews what public pages show, and keeps quiet streams alive.
async fn keep_watch(app: App, stop: CancellationToken) {
    let mut rounds = 0_u64;
    let mut clock = tokio::time::interval(RENEW_EVERY);
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = clock.tick() => {}
        }
        rounds += 1;
        if let Err(error) = app.board().renew(app.flash(), app.now()).await {
            tracing::warn!(%error, "public figures are not renewed");
        }
        app.board().tell_rooms(app.flash());
        if rounds.is_multiple_of(HEARTBEAT_EVERY) {
            app.board().tell_all(&stream::HEARTBEAT);
        }
        app.meters().upkeep();
    }
}

async fn accept(app: &App, listener: TcpListener, stop: &CancellationToken, connections: &TaskTracker) {
    let places =
        Arc::new(Semaphore::new(usize::try_from(app.config().http_connections_max).unwrap_or(usize::MAX >> 4)));
    let door = Arc::new(Door { app: app.clone(), router: router(app.clone()), in_flight: AtomicU64::new(0) });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(Duration::from_millis(app.config().http_header_timeout_ms));
    loop {
        let place = tokio::select! {
            () = stop.cancelled() => return,
            place = places.clone().acquire_owned() => place,
        };
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let (server, door, stop) = (server.clone(), door.clone(), stop.clone());
                connections.spawn(async move {
                    converse(server, door, stream, stop).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// One connection, until it ends or the server stops.
async fn converse(server: http1::Builder, door: Arc<Door>, stream: TcpStream, stop: CancellationToken) {
    // Answers are whole when they are written; waiting to join them with others only delays them.
    let _ = stream.set_nodelay(true);
    let answer = service_fn(move |request| {
        let door = door.clone();
        async move { Ok::<_, Infallible>(door.answer(request).await) }
    });
    let connection = server.serve_connection(TokioIo::new(stream), answer);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}

/// Lets requests in.
struct Door {
    app: App,
    router: Router,
    in_flight: AtomicU64,
}

impl Door {
    async fn answer(&self, request: Request<Incoming>) -> Response {
        let inside = Inside::enter(&self.in_flight);
        let config = self.app.config();
        let response = if inside.number > config.http_in_flight_max {
            Problem::new("shedding", "nothing was promised; repeat with the same key")
                .retry_after(Some(Duration::from_secs(1)))
                .into_response()
        } else {
            self.within_time(request.map(Body::new), Duration::from_millis(config.http_request_timeout_ms)).await
        };
        self.app.meters().answered(response.status());
        response
    }

    async fn within_time(&self, request: Request<Body>, most: Duration) -> Response {
        // A panic is a defect of one request: the connection and the others go on.
        let work = AssertUnwindSafe(self.routed(request)).catch_unwind();
        match tokio::time::timeout(most, work).await {
            Ok(Ok(response)) => response,
            Ok(Err(_)) => {
                tracing::error!("a request met a defect of ours");
                Problem::new("defect", "this is a defect of ours; repeat with the same key").into_response()
            }
            Err(_) => Problem::new("unknown", "it took too long and may have happened; repeat with the same key")
                .retry_after(Some(Duration::from_secs(1)))
                .into_response(),
        }
    }

    async fn routed(&self, request: Request<Body>) -> Response {
        // The one route on which a rush falls does not take the way through the table of routes.
        if request.method() == Method::POST && request.uri().path() == routes::orders::PATH {
            return routes::orders::placed(&self.app, request).await.into_response();
        }
        match self.router.clone().call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

/// A request among those that are on their way.
struct Inside<'a> {
    in_flight: &'a AtomicU64,
    number: u64,
}

impl<'a> Inside<'a> {
    fn enter(in_flight: &'a AtomicU64) -> Self {
        Self { in_flight, number: in_flight.fetch_add(1, Ordering::Relaxed) + 1 }
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
