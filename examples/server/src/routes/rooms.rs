//! `/v1/sales/{id}/place` and `/admission`: waiting before a sale; `/ops/v1/rooms`: how its room does, and changing it while people wait.
//!
//! Owns the shape of a room's terms on the wire. What a member is told is `flashsale_axum`'s, what is true is the room's.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use flashsale_axum::{AdmissionTold, NotNeeded, PlaceTold, Stopped, answers};
use flashsale_core::engine::{PlaceView, Status};
use flashsale_core::queue::{Levels, Mode, RoomChange, Terms, Wait};
use flashsale_core::{BuyerId, Purchase, SaleId, WaitingRoom};
use hyper::Request;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Answer, dev, json};
use crate::app::App;
use crate::extract::{self, Name};
use crate::problem::{At, Problem};
use crate::rooms::{self, pace};

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(join, place, leave))
        .routes(routes!(admission))
        .routes(routes!(extension))
        .routes(routes!(levels, change))
}

/// What a sale says of its room; the rest is the server's `room.*` settings.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RoomBody {
    /// auto (the default), hold or off.
    #[schema(value_type = Option<String>)]
    mode: Option<Mode>,
    /// More arrivals than this within the window open it; 0 opens it with the first.
    open_above: Option<u32>,
    /// The window.
    open_within_s: Option<u32>,
    /// It closes when nobody waits and fewer than this arrived within the window.
    close_below: Option<u32>,
    /// How many are let through in a minute.
    admit_per_minute: Option<u32>,
    /// The most who have a turn at the same time.
    capacity: Option<u32>,
    /// How long a turn lasts.
    turn_s: Option<u32>,
    /// How often a turn can be made longer.
    extensions: Option<u8>,
    /// Who was not seen for so long loses his turn when it comes.
    absent_after_s: Option<u32>,
    /// How long before the sale opens places are given already.
    prejoin_s: Option<u32>,
}

impl RoomBody {
    /// These terms, where they say something, over others; checked.
    pub(crate) fn over(self, mut terms: Terms) -> Result<Terms, Problem> {
        fn set<T, U>(place: &mut T, value: Option<U>, to: impl Fn(U) -> T) {
            if let Some(value) = value {
                *place = to(value);
            }
        }
        let seconds = |value: u32| std::time::Duration::from_secs(value.into());
        set(&mut terms.mode, self.mode, |mode| mode);
        set(&mut terms.opens_above, self.open_above, |value| value);
        // Who lowers one threshold alone means the other one, too.
        terms.closes_below = terms.closes_below.min(terms.opens_above);
        set(&mut terms.within, self.open_within_s, seconds);
        set(&mut terms.closes_below, self.close_below, |value| value);
        set(&mut terms.pace, self.admit_per_minute, pace);
        set(&mut terms.capacity, self.capacity, |value| value);
        set(&mut terms.turn, self.turn_s, seconds);
        set(&mut terms.extensions, self.extensions, |value| value);
        set(&mut terms.absent_after, self.absent_after_s, seconds);
        match (&mut terms.schedule, self.prejoin_s) {
            (Some(schedule), Some(prejoin)) => schedule.prejoin = seconds(prejoin),
            (None, Some(_)) => return Err(Problem::new("room_terms", "prejoin_s: the sale has no window")),
            (_, None) => {}
        }
        checked(terms)
    }
}

fn checked(terms: Terms) -> Result<Terms, Problem> {
    terms.check().map_err(|bad| Problem::new("room_terms", bad.to_string()))?;
    Ok(terms)
}

/// The sale of this name, and the room before it.
pub(crate) async fn before(app: &App, name: &str) -> Result<(SaleId, Option<WaitingRoom>), Problem> {
    let unknown = || Problem::new("unknown_sale", "there is no such sale");
    let sale = SaleId::new(name).map_err(|_| unknown())?;
    app.face(&sale).await?.ok_or_else(unknown)?;
    let room = app.room(&sale);
    Ok((sale, room))
}

/// Why a purchase goes no further.
pub(crate) enum Halted {
    /// The member has a place, and it is not his turn.
    Waits(Box<PlaceView>),
    /// Anything else.
    Told(Problem),
}

impl<T: Into<Problem>> From<T> for Halted {
    fn from(problem: T) -> Self {
        Self::Told(problem.into())
    }
}

/// Lets a purchase through the room before its sale, if there is one.
///
/// By its admission; else, if it was decided before, because its repeat is told what was decided, also when its turn is long over; else by the room. In this
/// order, so that a repeat takes no place of somebody else's.
pub(crate) async fn let_through(app: &App, headers: &HeaderMap, purchase: &Purchase) -> Result<(), Halted> {
    let (sale, buyer) = (&purchase.sale, &purchase.buyer);
    let Some(room) = app.room(sale) else { return Ok(()) };
    let shown = match flashsale_axum::shown(&room, buyer, headers, app.confirm()).await {
        Ok(Some(_)) => return Ok(()),
        Ok(None) => None,
        Err(Stopped::Token(refusal)) => Some(refusal),
        Err(stopped) => return Err(halted(app, sale, stopped)),
    };
    // Behind a closed door the gate knows repeats itself, so that nobody reads the ledger who is let through at once.
    if (shown.is_some() || room.was_open()) && decided(app, purchase).await? {
        return Ok(());
    }
    if let Some(refusal) = shown {
        return Err(halted(app, sale, Stopped::Token(refusal)));
    }
    match flashsale_axum::entered(&room, buyer, headers).await {
        Ok(_) => Ok(()),
        // It has opened since this server last heard of it.
        Err(Stopped::Waits(_)) if decided(app, purchase).await? => Ok(()),
        Err(stopped) => Err(halted(app, sale, stopped)),
    }
}

/// Whether a purchase was decided before, or is recorded.
async fn decided(app: &App, purchase: &Purchase) -> Result<bool, Problem> {
    let of = match app.flash().orders.status(&purchase.id()).await? {
        (Some(Status::Decided(order)), _) => order.sale.clone(),
        (Some(Status::Recorded(record)), _) => record.sale.clone(),
        (None, _) => return Ok(false),
    };
    if of == purchase.sale { Ok(true) } else { Err(Problem::new("key_reused", "this key was used for another sale")) }
}

fn place_link(sale: &SaleId) -> String {
    format!("/v1/sales/{sale}/place")
}

fn halted(app: &App, sale: &SaleId, why: Stopped) -> Halted {
    Halted::Told(match why {
        Stopped::Waits(view) => return Halted::Waits(view),
        Stopped::Token(refusal) => Problem::new(refusal.code(), refusal.to_string()).waiting_at(place_link(sale), None),
        Stopped::Refused(refusal) => {
            Problem::new(refusal.code(), refusal.to_string()).retry_after(refusal.retry_after(app.now()))
        }
        Stopped::Failed(error) => error.into(),
    })
}

/// What a program is told whose purchase goes no further.
pub(crate) fn problem(sale: &SaleId, halted: Halted) -> Problem {
    match halted {
        Halted::Told(problem) => problem,
        Halted::Waits(view) => {
            let detail = "many people want this now: wait for your turn in the room";
            Problem::new("admission_required", detail).waiting_at(place_link(sale), Some(PlaceTold::from(*view)))
        }
    }
}

/// Who asks, and the room.
async fn asks(app: &App, name: &str, headers: &HeaderMap) -> Result<(BuyerId, Option<WaitingRoom>), Problem> {
    let member = extract::member(app, headers)?;
    Ok((member, before(app, name).await?.1))
}

/// Takes a place in the room before a sale, or learns that nobody has to wait. The same member has the same place, however often and from wherever he asks.
#[utoipa::path(post, path = "/v1/sales/{id}/place", tag = "room",
    params(("id" = String, Path), ("Flashsale-Member" = String, Header), ("Flashsale-Ticket" = Option<String>, Header, description = "brings a place back that the room's store has lost")),
    responses((status = 201, description = "A new place", body = PlaceTold), (status = 200, description = "The same place; or `not_needed`, with an admission where a room stands here", body = NotNeeded),
        (status = 403, description = "too_early"), (status = 404, description = "unknown_sale"), (status = 410, description = "closed"), (status = 503, description = "room_full, unavailable")))]
async fn join(State(app): State<App>, Name(id): Name, headers: HeaderMap) -> Answer {
    Ok(match asks(&app, &id, &headers).await? {
        (member, Some(room)) => answers::join(&room, &member, answers::ticket(&room, &headers)).await,
        (_, None) => answers::not_needed(app.now()),
    })
}

/// Tells where the member stands, and takes it as a sign of life.
#[utoipa::path(get, path = "/v1/sales/{id}/place", tag = "room", params(("id" = String, Path), ("Flashsale-Member" = String, Header)),
    responses((status = 200, body = PlaceTold), (status = 404, description = "no_place, unknown_sale")))]
async fn place(State(app): State<App>, Name(id): Name, headers: HeaderMap) -> Answer {
    Ok(match asks(&app, &id, &headers).await? {
        (member, Some(room)) => answers::place(&room, &member).await,
        (_, None) => answers::no_place(),
    })
}

/// Gives the place or the turn up.
#[utoipa::path(delete, path = "/v1/sales/{id}/place", tag = "room", params(("id" = String, Path), ("Flashsale-Member" = String, Header)),
    responses((status = 204, description = "Also for one who has none"), (status = 404, description = "unknown_sale")))]
async fn leave(State(app): State<App>, Name(id): Name, headers: HeaderMap) -> Answer {
    Ok(match asks(&app, &id, &headers).await? {
        (member, Some(room)) => answers::leave(&room, &member).await,
        (_, None) => StatusCode::NO_CONTENT.into_response(),
    })
}

/// The admission of a member whose turn it is: the same again while it lasts, from any tab.
#[utoipa::path(post, path = "/v1/sales/{id}/admission", tag = "room", params(("id" = String, Path), ("Flashsale-Member" = String, Header)),
    responses((status = 200, body = AdmissionTold), (status = 202, description = "It is not his turn yet", body = PlaceTold), (status = 404, description = "no_place, unknown_sale"),
        (status = 410, description = "turn_passed, finished")))]
async fn admission(State(app): State<App>, Name(id): Name, headers: HeaderMap) -> Answer {
    Ok(match asks(&app, &id, &headers).await? {
        (member, Some(room)) => answers::admission(&room, &member).await,
        (_, None) => answers::no_place(),
    })
}

/// Makes a turn longer.
#[utoipa::path(post, path = "/v1/sales/{id}/admission/extension", tag = "room", params(("id" = String, Path), ("Flashsale-Member" = String, Header)),
    responses((status = 200, body = AdmissionTold), (status = 404, description = "no_place, unknown_sale"), (status = 409, description = "none_left, not_yet"),
        (status = 410, description = "turn_passed, finished")))]
async fn extension(State(app): State<App>, Name(id): Name, headers: HeaderMap) -> Answer {
    Ok(match asks(&app, &id, &headers).await? {
        (member, Some(room)) => answers::extension(&room, &member).await,
        (_, None) => answers::no_place(),
    })
}

/// A room, as an operator sees it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LevelsView {
    /// The sale.
    sale: String,
    /// auto, hold or off.
    mode: &'static str,
    /// Whether people take places, and why: arrivals, schedule, operator, ..
    open: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'static str>,
    /// Arrivals within the window that are counted.
    arrivals: u64,
    /// The last number given.
    issued: u64,
    /// The last number that the line has passed.
    serving: u64,
    /// How many are in line.
    waiting: u64,
    /// How many were away when their turn came and are not back.
    absent: u64,
    /// How many have a turn.
    inside: u32,
    /// The most who may have one.
    capacity: u32,
    /// How many are let through in a minute, as set.
    admits_per_minute: u64,
    /// How many places the line passed in a minute; nothing until it is measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    per_minute: Option<u64>,
    /// How long the last in line waits, about; nothing until it is measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    wait_s: Option<u64>,
    /// What everybody who waits is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    /// Grows by one with every change of the door or the terms.
    edition: u64,
    /// The time of the room's store.
    #[schema(value_type = String)]
    server_time: At,
}

impl LevelsView {
    fn of(sale: &SaleId, levels: &Levels) -> Self {
        let terms = &levels.terms;
        let wait = match Wait::estimate(levels.waiting, &levels.served, levels.now) {
            Wait::Measured { about, .. } => Some(about.as_secs()),
            Wait::Unknown => None,
        };
        let minutes = terms.pace.per.as_secs_f64() / 60.0;
        Self {
            sale: sale.to_string(),
            mode: terms.mode.code(),
            open: levels.door.is_open(),
            why: match levels.door {
                flashsale_core::queue::Door::Open(why) => Some(why.code()),
                flashsale_core::queue::Door::Closed => None,
            },
            arrivals: levels.arrivals.sum(levels.now).into(),
            issued: levels.issued,
            serving: levels.serving,
            waiting: levels.waiting,
            absent: levels.absent,
            inside: levels.turns,
            capacity: terms.capacity,
            admits_per_minute: (f64::from(terms.pace.admits) / minutes).round() as u64,
            per_minute: flashsale_core::queue::per_minute(&levels.served, levels.now),
            wait_s: wait,
            message: terms.message.clone(),
            edition: levels.edition,
            server_time: At(levels.now),
        }
    }
}

/// Shows how the room before a sale does.
#[utoipa::path(get, path = "/ops/v1/rooms/{sale}", tag = "operation", params(("sale" = String, Path)),
    responses((status = 200, body = LevelsView), (status = 403, description = "switched_off"), (status = 404, description = "unknown_sale, unknown_room")))]
async fn levels(State(app): State<App>, Name(id): Name) -> Answer {
    dev::switched_on(app.config().dev_members)?;
    let (sale, room) = before(&app, &id).await?;
    let room = room.ok_or_else(|| Problem::new("unknown_room", "no room stands before this sale; PUT makes one"))?;
    Ok(json(StatusCode::OK, &LevelsView::of(&sale, &room.levels().await?)))
}

/// What an operator changes. What is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ChangeBody {
    /// auto, hold (places are kept, nobody is let through) or off (everybody is through).
    #[schema(value_type = Option<String>)]
    mode: Option<Mode>,
    /// How many are let through in a minute.
    per_minute: Option<u32>,
    /// The most who have a turn at the same time. Who has one keeps it.
    capacity: Option<u32>,
    /// What everybody who waits is told, on one line; an empty one takes it away.
    message: Option<String>,
}

/// Changes the room before a sale while people wait, for all servers; makes one where none is, of which other servers know within a second.
#[utoipa::path(put, path = "/ops/v1/rooms/{sale}", tag = "operation", request_body = ChangeBody, params(("sale" = String, Path)),
    responses((status = 200, body = LevelsView), (status = 403, description = "switched_off"), (status = 404, description = "unknown_sale"), (status = 422, description = "room_terms, invalid")))]
async fn change(State(app): State<App>, Name(id): Name, request: Request<Body>) -> Answer {
    dev::switched_on(app.config().dev_members)?;
    let (parts, body) = request.into_parts();
    let ChangeBody { mode, per_minute, capacity, message } = extract::json(&app, &parts.headers, body).await?;
    let (sale, known) = before(&app, &id).await?;
    let message = message.map(|text| Some(text).filter(|text| !text.is_empty()));
    let change = RoomChange { mode, pace: per_minute.map(pace), capacity, message };
    let book = &app.wired().book;
    let room = match known {
        Some(room) => room,
        None => {
            let face = app.face(&sale).await?.ok_or_else(|| Problem::new("unknown_sale", "there is no such sale"))?;
            book.add(&sale, &checked(change.to(&rooms::terms(app.config(), face.window)))?).await?;
            book.take_in(app.flash(), app.now()).await?;
            app.room(&sale).ok_or_else(|| Problem::new("unknown_room", "the sale has long been over"))?
        }
    };
    let levels = room.change(&change).await?;
    // The store goes by it already; written down, it outlives the store. A repeat writes down what a failure here kept from it.
    book.change(&sale, &levels).await?;
    tracing::info!(%sale, ?change, "a waiting room was changed");
    Ok(json(StatusCode::OK, &LevelsView::of(&sale, &levels)))
}
