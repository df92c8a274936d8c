//! flashsale in an axum service.
//!
//! - [`admitted`]: a layer before routes that cannot stand a rush. Who has an admission is through; who has none enters the room, and gets a place if it is open.
//! - [`room_routes`]: the routes by which people wait: place, admission, extension, and one public stream.
//!
//! ```
//! use std::sync::Arc;
//! use axum::{Router, http::request::Parts, routing::post};
//! use flashsale_core::memory::MemoryRoomStore;
//! use flashsale_core::{BuyerId, RoomId, SystemClock, WaitingRoom};
//!
//! // However the service knows its visitors: a session, a signed cookie, a token.
//! fn visitor(parts: &Parts) -> Option<BuyerId> {
//!     BuyerId::new(parts.headers.get("x-visitor")?.to_str().ok()?).ok()
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = Arc::new(MemoryRoomStore::new(SystemClock::shared()));
//! let room = WaitingRoom::named(RoomId::new("checkout")?, store).at_most(400).build()?;
//! let app: Router = Router::new()
//!     .route("/checkout", post(|| async { "bought" }))
//!     .route_layer(flashsale_axum::admitted(room.clone(), visitor).page("/room"))
//!     .nest("/room", flashsale_axum::room_routes(room.clone(), visitor));
//! # drop(app);
//! # Ok(())
//! # }
//! ```
//!
//! The room's pass must run as well: `tokio::spawn(room.workers().run(stop))`. A service that has its own paths, pages or documents takes the
//! [`answers`] and [`RoomStream`] instead of the router; one that learns only from a request's body before which room it stands calls [`knock`].
//! With the feature `openapi`, what clients are told has schemas of utoipa.

pub mod answers;
mod door;
mod layer;
mod problem;
mod routes;
mod stream;
mod token;
mod told;

pub use door::{Confirm, Stopped, Through, entered, knock, shown};
pub use layer::{Admit, Admitted, admitted};
pub use problem::Problem;
pub use routes::room_routes;
pub use stream::RoomStream;
pub use token::{ADMISSION_HEADER, TICKET_HEADER};
pub use told::{AdmissionTold, NotNeeded, PlaceTold, Status, TickTold, WaitTold};
