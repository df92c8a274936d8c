//! What every route shares: the wired system, the settings, the boards and the meters; and the router.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use flashsale_axum::Confirm;
use flashsale_core::{BackendError, Clock, FlashSale, SaleId, Timestamp, WaitingRoom, Wallet};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::SwaggerUi;

use crate::board::{Board, Face};
use crate::clock::ShiftedClock;
use crate::config::Config;
use crate::gate::Kept;
use crate::meters::Meters;
use crate::problem::Problem;
use crate::routes;
use crate::settled::Counts;
use crate::wiring::Wired;

/// The shop as the routes see it. A clone is the same one.
#[derive(Debug, Clone)]
pub(crate) struct App(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: Config,
    wired: Wired,
    board: Board,
    meters: Meters,
    counts: Counts,
    leaves: AtomicBool,
}

impl App {
    pub(crate) fn new(config: Config, wired: Wired) -> Result<Self, BackendError> {
        let board = Board::new(wired.book.clone(), config.limits_sse_max, wired.silent.clone());
        let counts = Counts::of(&config.sql_url)?;
        Ok(Self(Arc::new(Shared {
            config,
            wired,
            board,
            meters: Meters::new(),
            counts,
            leaves: AtomicBool::new(false),
        })))
    }

    /// From now on it says that it leaves, to whoever asks whether to send requests here.
    pub(crate) fn leave(&self) {
        self.0.leaves.store(true, Ordering::Relaxed);
    }

    /// Whether it leaves.
    pub(crate) fn leaves(&self) -> bool {
        self.0.leaves.load(Ordering::Relaxed)
    }

    pub(crate) fn config(&self) -> &Config {
        &self.0.config
    }

    pub(crate) fn flash(&self) -> &FlashSale {
        &self.0.wired.flash
    }

    pub(crate) fn wallet(&self) -> &Wallet {
        &self.0.wired.wallet
    }

    pub(crate) fn clock(&self) -> &ShiftedClock {
        &self.0.wired.clock
    }

    pub(crate) fn board(&self) -> &Board {
        &self.0.board
    }

    /// A sale as it is shown, if there is such a one of the shop's own. Who asks for one that is not there costs the ledger nothing,
    /// unless another process may have written it down.
    pub(crate) async fn face(&self, sale: &SaleId) -> Result<Option<Arc<Face>>, BackendError> {
        match self.board().face(sale) {
            None if self.wired().kept != Kept::Memory => self.board().find(self.flash(), sale, self.now()).await,
            known => Ok(known),
        }
    }

    /// The room before a sale, if it has one.
    pub(crate) fn room(&self, sale: &SaleId) -> Option<WaitingRoom> {
        self.flash().rooms.known(&sale.into())
    }

    /// How admissions are checked: what was used is known here, where all rooms are in this process, and to the store, where they are not.
    pub(crate) fn confirm(&self) -> Confirm {
        match self.wired().kept {
            Kept::Memory => Confirm::Here,
            Kept::Redis(_) => Confirm::WithTheStore,
        }
    }

    pub(crate) fn meters(&self) -> &Meters {
        &self.0.meters
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.0.counts
    }

    pub(crate) fn wired(&self) -> &Wired {
        &self.0.wired
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock().now()
    }
}

/// The API, as its document describes it.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "flashsale",
        description = "First-come-first-served sales. 202 means accepted and durable, or (where the status says so) recorded. 503 always means that nothing was promised: \
                       repeat with the same Idempotency-Key. Errors are application/problem+json with a stable `code`. Money is in \
                       minor units, time in RFC 3339 UTC. The buyer is the header Flashsale-Member while dev.members is on."
    ),
    components(schemas(crate::problem::ProblemView))
)]
struct Api;

/// The document of the API.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    documented().into_openapi()
}

fn documented() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Api::openapi())
        .merge(routes::sales::routes())
        .merge(routes::rooms::routes())
        .merge(routes::orders::routes())
        .merge(routes::waitlist::routes())
        .merge(routes::quotes::routes())
        .merge(routes::wallet::routes())
        .merge(routes::campaigns::routes())
        .merge(routes::me::routes())
        .merge(routes::ops::routes())
        .merge(routes::adjustments::routes())
        .merge(routes::letters::routes())
        .merge(routes::dev::routes())
}

/// All routes.
pub(crate) fn router(app: App) -> Router {
    let (router, api) = documented().split_for_parts();
    router
        .merge(crate::pages::routes())
        .merge(SwaggerUi::new("/docs").url("/openapi.json", api))
        .fallback(unknown_route)
        .method_not_allowed_fallback(unknown_method)
        .with_state(app)
}

async fn unknown_route(State(app): State<App>, headers: HeaderMap, uri: Uri) -> Response {
    let problem = Problem::new("route_unknown", "there is no such route; /docs lists them");
    crate::pages::problem_for(&app, &headers, &uri, problem)
}

async fn unknown_method(State(app): State<App>, headers: HeaderMap, uri: Uri) -> Response {
    let problem = Problem::new("method_not_allowed", "the route is there, for another method; /docs lists them");
    crate::pages::problem_for(&app, &headers, &uri, problem)
}
