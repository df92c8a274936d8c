//! `/v1/sales`: what is sold and what is left, the live stream, and writing down a sale.

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH, LOCATION};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use flashsale_core::sale::Window;
use flashsale_core::{Error, Item, ItemId, Money, Quantity, Sale, SaleId, Timestamp};
use hyper::Request;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Answer, json, with};
use crate::app::App;
use crate::board::{Face, WINDOW_MARK, Watching};
use crate::extract::{self, Name, Object};
use crate::problem::{At, Problem};
use crate::rooms::{self, Added};
use crate::routes::dev;
use crate::routes::rooms::RoomBody;
use crate::stream;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(show)).routes(routes!(watch))
}

/// A sale as it is shown.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SaleView<'a> {
    /// Its name.
    id: &'a str,
    /// scheduled, open, sold_out, paused, closed.
    state: &'static str,
    /// From when it sells; null where it always did.
    #[schema(value_type = Option<String>)]
    opens_at: Option<At>,
    /// Until when; null where it has no end.
    #[schema(value_type = Option<String>)]
    closes_at: Option<At>,
    /// What it sells.
    items: Vec<ItemView<'a>>,
    /// The waiting room before it; nothing where none is.
    room: Option<RoomView>,
    /// The server's time.
    #[schema(value_type = String)]
    server_time: At,
}

/// The waiting room before a sale, as everybody may know it. How its line stands is told by the sale's stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct RoomView {
    /// Whether people take places.
    open: bool,
    /// auto, hold or off, as an operator has set it; nothing until this server has looked.
    mode: Option<&'static str>,
}

impl RoomView {
    fn of(app: &App, sale: &SaleId) -> Option<Self> {
        let room = app.room(sale)?;
        let mode = room.ticks().borrow().as_ref().map(|tick| tick.mode.code());
        Some(Self { open: room.was_open(), mode })
    }

    /// What of it makes the answer another one.
    fn mark(of: Option<Self>) -> &'static str {
        match of {
            None => "",
            Some(Self { mode: Some("off"), .. }) => ".off",
            Some(Self { mode: Some("hold"), .. }) => ".hold",
            Some(Self { open: true, .. }) => ".on",
            Some(Self { open: false, .. }) => ".auto",
        }
    }
}

/// An item as it is shown.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ItemView<'a> {
    /// Its name.
    item: &'a str,
    /// What one costs.
    price: u64,
    /// How many one buyer may have.
    limit: u32,
    /// How many there are in all.
    total: u32,
    /// How many can be bought, approximately; zero only if the gate said so.
    left: u32,
    /// How many are being bought right now.
    held: u32,
    /// How many are ordered or sold.
    sold: u32,
    /// When these figures were true.
    #[schema(value_type = String)]
    at: At,
}

impl<'a> SaleView<'a> {
    fn of(face: &'a Face, room: Option<RoomView>, now: Timestamp) -> Self {
        let items = face.items.iter().map(|item| ItemView {
            item: item.item.as_str(),
            price: item.price.minor(),
            limit: item.limit,
            total: item.total,
            left: item.left,
            held: item.held,
            sold: item.sold,
            at: At(face.at),
        });
        Self {
            id: face.id.as_str(),
            state: face.standing(now).code(),
            opens_at: face.opens_at().map(At),
            closes_at: face.closes_at().map(At),
            items: items.collect(),
            room,
            server_time: At(now),
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SaleList<'a> {
    /// In order of name.
    sales: Vec<SaleView<'a>>,
    /// The server's time.
    #[schema(value_type = String)]
    server_time: At,
}

/// The answer that anybody may keep for a second, or that he has it already.
fn public(view: &impl Serialize, tag: &str, asked: &HeaderMap) -> Response {
    let known = asked.get(IF_NONE_MATCH).is_some_and(|value| value.as_bytes() == tag.as_bytes());
    let mut response = if known {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        json(StatusCode::OK, view)
    };
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=1"));
    with(response, ETAG, tag)
}

/// Lists the sales.
#[utoipa::path(get, path = "/v1/sales", tag = "sales", responses((status = 200, body = SaleList), (status = 304, description = "As the ETag says")))]
async fn list(State(app): State<App>, headers: HeaderMap) -> Answer {
    let now = app.now();
    let faces = app.board().all();
    let rooms: Vec<Option<RoomView>> = faces.iter().map(|face| RoomView::of(&app, &face.id)).collect();
    let marks = faces.iter().zip(&rooms).map(|(face, room)| mark(face, *room, now));
    let tag = marks.fold(String::from("W/\"all"), |tag, mark| format!("{tag}-{mark}")) + "\"";
    let sales = faces.iter().zip(rooms).map(|(face, room)| SaleView::of(face, room, now)).collect();
    Ok(public(&SaleList { sales, server_time: At(now) }, &tag, &headers))
}

/// Shows a sale.
#[utoipa::path(get, path = "/v1/sales/{id}", tag = "sales", params(("id" = String, Path)),
    responses((status = 200, body = SaleView), (status = 304, description = "As the ETag says"), (status = 404, description = "unknown_sale")))]
async fn show(State(app): State<App>, Name(id): Name, headers: HeaderMap) -> Answer {
    let now = app.now();
    let id = SaleId::new(&id).map_err(|_| unknown())?;
    let face = app.face(&id).await?.ok_or_else(unknown)?;
    let room = RoomView::of(&app, &id);
    let tag = format!("W/\"{}\"", mark(&face, room, now));
    Ok(public(&SaleView::of(&face, room, now), &tag, &headers))
}

/// What makes the answer about a sale another one.
fn mark(face: &Face, room: Option<RoomView>, now: Timestamp) -> String {
    format!("{}.{}{}", face.tick, face.standing(now).code(), RoomView::mark(room))
}

fn unknown() -> Problem {
    Problem::new("unknown_sale", "there is no such sale")
}

/// Watches a sale live (Server-Sent Events): `sale`, `tick`, `room` where one stands before it, and `bye` when the server goes away.
#[utoipa::path(get, path = "/v1/sales/{id}/stream", tag = "sales", params(("id" = String, Path)),
    responses((status = 200, description = "text/event-stream"), (status = 404, description = "unknown_sale"), (status = 503, description = "streams_full")))]
async fn watch(State(app): State<App>, Name(id): Name) -> Answer {
    let id = SaleId::new(&id).map_err(|_| unknown())?;
    app.face(&id).await?.ok_or_else(unknown)?;
    match app.board().watch(&id) {
        Watching::Yes { face, room, frames, turn } => {
            Ok(stream::answer(&face, room.as_deref(), app.now(), frames, turn))
        }
        Watching::UnknownSale => Err(unknown()),
        Watching::Full => {
            let problem = Problem::new("streams_full", "look at the page instead, or come again");
            Ok(problem.retry_after(Some(Duration::from_secs(5))).into_response())
        }
    }
}

/// The terms of a sale.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SaleBody {
    /// Its name: 1 to 64 of A-Z a-z 0-9 _ . - (a colon is kept for campaigns).
    #[schema(value_type = String)]
    id: SaleId,
    /// From when it sells (RFC 3339, or milliseconds); without it, always.
    #[serde(default, deserialize_with = "moment")]
    #[schema(value_type = Option<String>)]
    opens_at: Option<Timestamp>,
    /// Until when; without it, it has no end.
    #[serde(default, deserialize_with = "moment")]
    #[schema(value_type = Option<String>)]
    closes_at: Option<Timestamp>,
    /// How long the gate holds units.
    hold_ms: Option<u64>,
    /// How long a buyer has to pay.
    pay_within_s: Option<u64>,
    /// The waiting room before it; without it, none. A room that is there keeps its terms.
    #[schema(value_type = Option<RoomBody>)]
    room: Option<Object<RoomBody>>,
    /// 1 to 64 items.
    #[schema(value_type = Vec<ItemBody>)]
    items: Vec<Object<ItemBody>>,
}

/// The terms of an item.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ItemBody {
    /// Its name.
    #[schema(value_type = String)]
    id: ItemId,
    /// How many units there are.
    #[schema(value_type = u32)]
    total: Quantity,
    /// What one costs.
    #[schema(value_type = u64)]
    price: Money,
    /// How many one buyer may have.
    #[schema(value_type = u32)]
    per_buyer: Quantity,
}

/// A point in time: RFC 3339, or milliseconds since 1970.
pub(crate) fn moment<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Moment {
        Ms(i64),
        Text(String),
    }
    match Option::<Moment>::deserialize(from).map_err(|_| D::Error::custom("a time is RFC 3339, or milliseconds"))? {
        None => Ok(None),
        Some(Moment::Ms(ms)) => Ok(Some(Timestamp::from_ms(ms))),
        Some(Moment::Text(text)) => match text.parse::<jiff::Timestamp>() {
            Ok(at) => Ok(Some(Timestamp::from_ms(at.as_millisecond()))),
            Err(_) => Err(D::Error::custom("a time is RFC 3339, or milliseconds")),
        },
    }
}

/// Writes down a sale (development). The same terms again change nothing.
#[utoipa::path(post, path = "/v1/sales", tag = "sales", request_body = SaleBody,
    responses((status = 201, body = SaleView), (status = 403, description = "switched_off"), (status = 409, description = "sale_exists"), (status = 422, description = "terms, room_terms, invalid")))]
async fn create(State(app): State<App>, request: Request<Body>) -> Answer {
    dev::switched_on(app.config().dev_members)?;
    let (parts, body) = request.into_parts();
    let body: SaleBody = extract::json(&app, &parts.headers, body).await?;
    if body.id.as_str().contains(WINDOW_MARK) {
        return Err(Problem::new("terms", "names with a colon are kept for the windows of campaigns"));
    }
    let (config, always) = (app.config(), Window::ALWAYS);
    let items = body.items.into_iter().map(|Object(item)| Item {
        id: item.id,
        total: item.total,
        price: item.price,
        per_buyer: item.per_buyer,
    });
    let sale = Sale {
        id: body.id,
        window: Window {
            opens_at: body.opens_at.unwrap_or(always.opens_at),
            closes_at: body.closes_at.unwrap_or(always.closes_at),
        },
        hold: Duration::from_millis(body.hold_ms.unwrap_or(config.sale_hold_ms)),
        pay_within: Duration::from_secs(body.pay_within_s.unwrap_or(config.sale_pay_within_s)),
        items: items.collect(),
    };
    sale.check().map_err(|bad| Problem::new("terms", bad.to_string()))?;
    let mut added = Added::Before;
    if let Some(Object(room)) = body.room {
        let terms = room.over(rooms::terms(config, sale.window))?;
        let (book, flash) = (&app.wired().book, app.flash());
        // Another server may have written it down a moment ago.
        book.take_in(flash, app.now()).await?;
        match flash.stock.totals(&sale.id).await? {
            // Before the sale: nobody finds it without its room.
            None => added = book.add(&sale.id, &terms).await?,
            Some(_) if app.room(&sale.id).is_some() => {}
            Some(_) => return Err(Problem::new("sale_exists", "the sale has no room; PUT /ops/v1/rooms makes one")),
        }
    }
    if let Err(error) = app.flash().stock.open(&sale).await {
        if added == Added::Now && matches!(error, Error::Refused(_)) {
            app.wired().book.take_out(&sale.id).await?;
        }
        return Err(error.into());
    }
    let now = app.now();
    app.board().renew(app.flash(), now).await?;
    let face = app.board().face(&sale.id).ok_or_else(unknown)?;
    let response = json(StatusCode::CREATED, &SaleView::of(&face, RoomView::of(&app, &sale.id), now));
    Ok(with(response, LOCATION, &format!("/v1/sales/{}", sale.id)))
}
