//! `/v1/sales/{id}/waitlist` and `/v1/offers`: waiting for what comes back, and taking it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use flashsale_core::engine::{Answer as First, Offer};
use flashsale_core::order::OrderState;
use flashsale_core::waitlist::{Place, TakeRefusal, Wish, WishState};
use flashsale_core::{BuyerId, Error, ItemId, Order, OrderId, Quantity, SaleId, Timestamp};
use hyper::Request;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::orders::OrderView;
use super::{Answer, Given, json, with, written};
use crate::app::App;
use crate::board::Face;
use crate::extract::{self, Name};
use crate::problem::{At, Problem};

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(join, show, leave))
        .routes(routes!(offers))
        .routes(routes!(take))
        .routes(routes!(decline))
}

/// For what a member waits.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct WishBody {
    /// Which item; it may be left out where the sale has one.
    #[schema(value_type = Option<String>)]
    item: Option<ItemId>,
    /// How many units: all of them, or none. Without it, one.
    #[schema(value_type = Option<u32>)]
    quantity: Option<Quantity>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WishQuery {
    item: Option<ItemId>,
}

/// A wish, and where it stands in the line of its item.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WishView {
    /// The item.
    item: String,
    /// How many units.
    quantity: u32,
    /// waiting, offered, accepted, declined, lapsed, left.
    status: &'static str,
    /// Its number in the line; it never changes.
    number: u64,
    /// How many wait before it.
    ahead: u64,
    /// The offer that it is, or was.
    #[serde(skip_serializing_if = "Option::is_none")]
    offer: Option<String>,
    /// When it joined.
    #[schema(value_type = String)]
    joined_at: At,
    /// The server's time.
    #[schema(value_type = String)]
    server_time: At,
}

impl WishView {
    fn of(Place { wish, ahead }: &Place, now: Timestamp) -> Self {
        Self {
            item: wish.item.to_string(),
            quantity: wish.units.units(),
            status: wish.state.code(),
            number: wish.number,
            ahead: *ahead,
            offer: (wish.state.code() != "waiting" && wish.state.code() != "left").then(|| wish.offer.to_string()),
            joined_at: At(wish.joined_at),
            server_time: At(now),
        }
    }
}

/// An offer: units that are the member's if he takes them in time.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OfferView {
    /// Its name; that of the order which it becomes.
    id: String,
    /// The sale.
    sale: String,
    /// The item.
    item: String,
    /// How many units.
    quantity: u32,
    /// What they cost.
    pays: u64,
    /// Until when it can be taken; nothing until the member was told, because his time begins then.
    #[schema(value_type = Option<String>)]
    until: Option<At>,
}

impl OfferView {
    fn of(Offer { wish, order, until }: &Offer) -> Self {
        Self {
            id: wish.offer.to_string(),
            sale: wish.sale.to_string(),
            item: wish.item.to_string(),
            quantity: wish.units.units(),
            pays: order.amounts.pays.minor(),
            until: until.map(At),
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OfferList {
    /// Open offers, latest first.
    offers: Vec<OfferView>,
    /// The server's time.
    #[schema(value_type = String)]
    server_time: At,
}

/// A sale and one of its items: the one that is named, or the only one.
pub(crate) async fn item(app: &App, sale: &str, item: Option<ItemId>) -> Result<(SaleId, ItemId), Problem> {
    let unknown = || Problem::new("unknown_sale", "there is no such sale");
    let sale = SaleId::new(sale).map_err(|_| unknown())?;
    let face = app.face(&sale).await?.ok_or_else(unknown)?;
    let item = match item {
        Some(item) => item,
        None => only(&face).ok_or_else(|| Problem::invalid("item: the sale has several"))?,
    };
    Ok((sale, item))
}

fn only(face: &Face) -> Option<ItemId> {
    match face.items.as_slice() {
        [one] => Some(one.item.clone()),
        _ => None,
    }
}

/// Puts a member at the end of the line of an item. Tells whether the place is new.
pub(crate) async fn wish(
    app: &App,
    sale: &SaleId,
    item: &ItemId,
    member: &BuyerId,
    units: Quantity,
) -> Result<First, Problem> {
    Ok(app.flash().waitlist.join(sale, item, member, units).await?.answer)
}

/// Where a member stands in the line of an item.
pub(crate) async fn standing(app: &App, sale: &SaleId, item: &ItemId, member: &BuyerId) -> Result<Place, Problem> {
    app.flash().waitlist.place(sale, item, member).await?.ok_or_else(Problem::not_found)
}

/// Waits for units of an item that is sold out. The same again is the same place.
#[utoipa::path(post, path = "/v1/sales/{id}/waitlist", tag = "waitlist", request_body = WishBody, params(("id" = String, Path), ("Flashsale-Member" = String, Header)),
    responses((status = 201, body = WishView), (status = 200, description = "The same place", body = WishView), (status = 404, description = "unknown_sale, unknown_item"),
        (status = 409, description = "already: for another number of units; buyer_limit; still_available"), (status = 410, description = "closed"), (status = 422, description = "invalid")))]
async fn join(State(app): State<App>, Name(id): Name, request: Request<Body>) -> Answer {
    let (parts, body) = request.into_parts();
    let member = extract::member(&app, &parts.headers)?;
    let body: WishBody = extract::json(&app, &parts.headers, body).await?;
    let (sale, item) = item(&app, &id, body.item).await?;
    let answer = wish(&app, &sale, &item, &member, body.quantity.unwrap_or(Quantity::MIN)).await?;
    let place = standing(&app, &sale, &item, &member).await?;
    let status = match answer {
        First::First => StatusCode::CREATED,
        First::Repeated => StatusCode::OK,
    };
    Ok(json(status, &WishView::of(&place, app.now())))
}

/// Tells where the member stands.
#[utoipa::path(get, path = "/v1/sales/{id}/waitlist", tag = "waitlist", params(("id" = String, Path), ("item" = Option<String>, Query), ("Flashsale-Member" = String, Header)),
    responses((status = 200, body = WishView), (status = 404, description = "not_found, unknown_sale")))]
async fn show(State(app): State<App>, Name(id): Name, uri: Uri, headers: HeaderMap) -> Answer {
    let member = extract::member(&app, &headers)?;
    let query: WishQuery = extract::query(&uri)?;
    let (sale, item) = item(&app, &id, query.item).await?;
    let place = standing(&app, &sale, &item, &member).await?;
    Ok(json(StatusCode::OK, &WishView::of(&place, app.now())))
}

/// Waits no longer.
#[utoipa::path(delete, path = "/v1/sales/{id}/waitlist", tag = "waitlist", params(("id" = String, Path), ("item" = Option<String>, Query), ("Flashsale-Member" = String, Header)),
    responses((status = 204), (status = 404, description = "not_found, unknown_sale"), (status = 409, description = "offered: decline the offer instead")))]
async fn leave(State(app): State<App>, Name(id): Name, uri: Uri, headers: HeaderMap) -> Answer {
    let member = extract::member(&app, &headers)?;
    let query: WishQuery = extract::query(&uri)?;
    let (sale, item) = item(&app, &id, query.item).await?;
    app.flash().waitlist.leave(&sale, &item, &member).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Lists the member's open offers.
#[utoipa::path(get, path = "/v1/offers", tag = "waitlist", params(("Flashsale-Member" = String, Header)), responses((status = 200, body = OfferList)))]
async fn offers(State(app): State<App>, headers: HeaderMap) -> Answer {
    let member = extract::member(&app, &headers)?;
    let (offers, now) = app.flash().waitlist.offers(&member).await?;
    let offers = offers.iter().map(OfferView::of).collect();
    Ok(json(StatusCode::OK, &OfferList { offers, server_time: At(now) }))
}

/// The offer of this name, if it is or was the member's.
pub(crate) fn own_offer(member: &BuyerId, name: &str) -> Result<OrderId, Problem> {
    let id = OrderId::new(name).map_err(|_| Problem::not_found())?;
    if id.buyer_str() == member.as_str() && is_offer(&id) { Ok(id) } else { Err(Problem::not_found()) }
}

/// Whether an order's name is that of an offer.
pub(crate) fn is_offer(id: &OrderId) -> bool {
    OrderId::scoped(&id.buyer(), Wish::SCOPE, &id.key()).is_ok_and(|offer| offer == *id)
}

/// The offer that a write is about.
async fn offered(app: &App, name: &str, request: Request<Body>) -> Result<OrderId, Problem> {
    let (parts, body) = request.into_parts();
    let member = extract::member(app, &parts.headers)?;
    extract::key(&parts.headers)?;
    extract::nothing(app, &parts.headers, body).await?;
    own_offer(&member, name)
}

/// Takes an offer: it is an accepted order from now on, and its payment follows by itself. A repeat gets the same answer.
#[utoipa::path(post, path = "/v1/offers/{id}/accept", tag = "waitlist",
    params(("id" = String, Path), ("Flashsale-Member" = String, Header), ("Idempotency-Key" = String, Header)),
    responses((status = 202, body = OrderView, headers(("Location", description = "The order"))), (status = 404, description = "not_found"), (status = 410, description = "lapsed")))]
async fn take(State(app): State<App>, Name(id): Name, request: Request<Body>) -> Answer {
    let offer = offered(&app, &id, request).await?;
    let (before, _) = app.flash().orders.load(&offer).await?;
    let first = before.is_some_and(|order| order.state == OrderState::Offered);
    let order = taken(&app, &offer).await?;
    let given = if first { Given::First } else { Given::Before };
    let response: Response = written(StatusCode::ACCEPTED, &OrderView::accepted(&order), given);
    Ok(with(response, LOCATION, &format!("/v1/orders/{}", order.id)))
}

/// Takes an offer; one that was taken before stays taken, whatever became of the order since.
pub(crate) async fn taken(app: &App, offer: &OrderId) -> Result<Arc<Order>, Problem> {
    let refused = match app.flash().waitlist.take(offer).await {
        Ok(order) => return Ok(order),
        Err(Error::Refused(TakeRefusal::Lapsed)) => Problem::from(Error::Refused(TakeRefusal::Lapsed)),
        Err(error) => return Err(error.into()),
    };
    let (Some(order), _) = app.flash().orders.load(offer).await? else { return Err(refused) };
    if was_taken(app, &order).await? { Ok(order) } else { Err(refused) }
}

/// Whether the offer that an order was has been taken.
pub(crate) async fn was_taken(app: &App, order: &Order) -> Result<bool, Problem> {
    let Some(line) = order.lines.iter().next() else { return Ok(false) };
    let place = app.flash().waitlist.place(&order.sale, &line.item, &order.id.buyer()).await?;
    // A wish that is newer is another one: then what is known of this offer is its end alone.
    Ok(place.is_some_and(|place| place.wish.offer == order.id && place.wish.state == WishState::Accepted))
}

/// Lets an offer go: its units are offered to the next. A repeat changes nothing.
#[utoipa::path(post, path = "/v1/offers/{id}/decline", tag = "waitlist",
    params(("id" = String, Path), ("Flashsale-Member" = String, Header), ("Idempotency-Key" = String, Header)),
    responses((status = 204), (status = 404, description = "not_found, not_an_offer: it was taken, cancel the order"), (status = 410, description = "lapsed")))]
async fn decline(State(app): State<App>, Name(id): Name, request: Request<Body>) -> Answer {
    let offer = offered(&app, &id, request).await?;
    app.flash().waitlist.decline(&offer).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
