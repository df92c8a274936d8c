//! `/v1/orders`: placing, looking, paying, cancelling, returning.

use std::borrow::Cow;
use std::time::Instant;

use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use flashsale_core::engine::{Status, Taken};
use flashsale_core::order::{OrderQuery, OrderState, Recorded};
use flashsale_core::sale::{Line, Lines};
use flashsale_core::stock::Note;
use flashsale_core::{
    BuyerId, CouponId, Event, Fact, ItemId, Method, Money, Order, OrderId, Orders, Purchase, Quantity, SaleId,
    Timestamp,
};
use hyper::Request;
use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Answer, Given, json, page_size, rooms, waitlist, with, written};
use crate::app::App;
use crate::config::Intake;
use crate::extract::{self, Name, Object};
use crate::meters::Answered;
use crate::payline::PayPlace;
use crate::problem::{At, Problem};
use crate::wiring::{CARD, WALLET};

/// The status of a request that the ledger has not decided.
pub(crate) const RECORDED: &str = "recorded";
/// How often an order that is on its way should be looked at.
const LOOK_AGAIN_MS: u64 = 500;
/// Looks of different orders are spread over this much.
const SPREAD_MS: u64 = 250;
/// The most rows that are read for one page of a filtered list.
const READ_MAX: usize = 1_000;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(place, list))
        .routes(routes!(show))
        .routes(routes!(events))
        .routes(routes!(pay))
        .routes(routes!(cancel))
        .routes(routes!(take_back))
}

/// What is to be bought.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlaceBody {
    /// The sale; without it, the standing one.
    #[schema(value_type = Option<String>)]
    pub(crate) sale: Option<SaleId>,
    /// 1 to 16 items, none twice: all of them are taken, or none.
    #[schema(value_type = Vec<LineBody>)]
    pub(crate) lines: Vec<Object<LineBody>>,
    /// The coupon to use.
    #[schema(value_type = Option<String>)]
    pub(crate) coupon: Option<CouponId>,
    /// Where it goes: at most 4 KiB, kept with the order and never read.
    #[schema(value_type = Option<String>)]
    pub(crate) address: Option<Note>,
    /// `card` (the default) or `wallet`.
    #[schema(value_type = Option<String>)]
    pub(crate) method: Option<Method>,
    /// The total that the buyer saw, the coupon taken off; another one is refused.
    #[schema(value_type = Option<u64>)]
    pub(crate) expected_total: Option<Money>,
}

/// An item and how many units of it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LineBody {
    /// Which item.
    #[schema(value_type = String)]
    pub(crate) item: ItemId,
    /// How many units: 1 to 1,000,000.
    #[schema(value_type = u32)]
    pub(crate) quantity: Quantity,
}

/// An order, as it is answered and shown.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OrderView<'a> {
    /// Its name.
    id: &'a str,
    /// Where it stands: offered, accepted, paying, closing, confirmed, cancelled, refunding, refunded; refused, where it was recorded and is not accepted.
    status: &'static str,
    /// Its place in the order of arrival.
    #[serde(skip_serializing_if = "Option::is_none")]
    no: Option<u64>,
    /// The sale.
    sale: &'a str,
    /// What it consists of.
    #[schema(value_type = Vec<LineView>)]
    lines: LinesView<'a>,
    /// What it costs.
    amounts: AmountsView,
    /// How it is paid.
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'a str>,
    /// The coupon that it uses.
    #[serde(skip_serializing_if = "Option::is_none")]
    coupon: Option<&'a str>,
    /// Until when it can be paid.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pay_by: Option<At>,
    /// Its place in the payment line, while it stands there; an answer to its placing tells none, because a repeat is told the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<PayPlaceView>,
    /// When it was accepted.
    #[schema(value_type = String)]
    placed_at: At,
    /// Why it stands where it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// Its version: one more with every change.
    version: u32,
    /// Why it waits for a person, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    stuck: Option<&'a str>,
    /// What the buyer has to do to pay.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_action: Option<&'a str>,
    /// When to look again.
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_after_ms: Option<u64>,
    /// The server's time.
    #[schema(value_type = String)]
    server_time: At,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AmountsView {
    /// The sum of the prices.
    list: u64,
    /// What the coupon takes off.
    discount: u64,
    /// What the buyer pays.
    pays: u64,
}

/// A place in the payment line, as of a second ago.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PayPlaceView {
    /// How many go before.
    ahead: u64,
    /// How many seconds it takes, as fast as the line moves; null until that is measured.
    about_s: Option<u64>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LineView<'a> {
    item: &'a str,
    quantity: u32,
}

#[derive(Debug)]
struct LinesView<'a>(&'a Lines);

impl Serialize for LinesView<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let lines = self.0.iter();
        to.collect_seq(lines.map(|line| LineView { item: line.item.as_str(), quantity: line.units.units() }))
    }
}

impl<'a> OrderView<'a> {
    /// The order as it is now.
    pub(crate) fn of(order: &'a Order, now: Timestamp) -> Self {
        Self {
            id: order.id.as_str(),
            status: order.state.code(),
            no: order.hold.map(|(_, no)| no.0),
            sale: order.sale.as_str(),
            lines: LinesView(&order.lines),
            amounts: AmountsView {
                list: order.amounts.list.minor(),
                discount: order.amounts.discount.minor(),
                pays: order.amounts.pays.minor(),
            },
            method: order.method.as_ref().map(Method::as_str),
            coupon: order.coupon.as_ref().map(CouponId::as_str),
            pay_by: order.pay_by.map(At),
            line: None,
            placed_at: At(order.decided_at),
            reason: order.reason.map(flashsale_core::order::Reason::code),
            version: order.ver,
            stuck: order.stuck.as_deref(),
            next_action: order.action.as_deref(),
            refresh_after_ms: on_its_way(order).then(|| LOOK_AGAIN_MS + order.hash.0 % SPREAD_MS),
            server_time: At(now),
        }
    }

    /// The order as it is now, with its place in the payment line.
    fn in_line(app: &App, order: &'a Order, now: Timestamp) -> Self {
        let place = app.board().pay_place(order, now);
        let line = place.map(|PayPlace { ahead, about_s }| PayPlaceView { ahead, about_s });
        Self { line, ..Self::of(order, now) }
    }

    /// The order as it was accepted: what every repeat is told.
    pub(crate) fn accepted(order: &'a Order) -> Self {
        Self {
            status: OrderState::Accepted.code(),
            reason: None,
            version: 1,
            stuck: None,
            next_action: None,
            refresh_after_ms: Some(LOOK_AGAIN_MS + order.hash.0 % SPREAD_MS),
            ..Self::of(order, order.decided_at)
        }
    }
}

/// A request that is held and recorded, and not decided yet.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RecordedView<'a> {
    /// The name of the order that it becomes.
    id: &'a str,
    /// `recorded`: not accepted. The ledger decides it, in the order of the log; it may still refuse.
    status: &'static str,
    /// Its place in the order of arrival.
    #[serde(skip_serializing_if = "Option::is_none")]
    no: Option<u64>,
    /// The sale.
    sale: &'a str,
    /// What it consists of.
    #[schema(value_type = Vec<LineView>)]
    lines: LinesView<'a>,
    /// How it is paid.
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'a str>,
    /// The coupon that it uses.
    #[serde(skip_serializing_if = "Option::is_none")]
    coupon: Option<&'a str>,
    /// When it was recorded.
    #[schema(value_type = String)]
    recorded_at: At,
    /// When to look again.
    refresh_after_ms: u64,
    /// The server's time.
    #[schema(value_type = String)]
    server_time: At,
}

/// What a request that places an order is told with 202.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it tells the document what there is")]
pub(crate) enum PlacedView<'a> {
    Order(OrderView<'a>),
    Recorded(RecordedView<'a>),
}

impl<'a> RecordedView<'a> {
    fn of(record: &'a Recorded, now: Timestamp) -> Self {
        let accept = &record.accept;
        Self {
            id: accept.id.as_str(),
            status: RECORDED,
            no: record.no().map(|no| no.0),
            sale: record.sale.as_str(),
            lines: LinesView(&accept.lines),
            method: accept.method.as_ref().map(Method::as_str),
            coupon: accept.coupon.as_ref().map(CouponId::as_str),
            recorded_at: At(record.at),
            refresh_after_ms: look_again_ms(record),
            server_time: At(now),
        }
    }
}

/// When a recorded request should be looked at again.
pub(crate) fn look_again_ms(record: &Recorded) -> u64 {
    LOOK_AGAIN_MS + record.accept.hash.0 % SPREAD_MS
}

/// Whether an order will move by itself.
pub(crate) fn on_its_way(order: &Order) -> bool {
    use OrderState as S;
    matches!(order.state, S::Offered | S::Accepted | S::Paying | S::Closing | S::Refunding) && order.stuck.is_none()
}

/// The purchase that a body asks for.
pub(crate) async fn purchase(
    app: &App,
    buyer: &BuyerId,
    key: flashsale_core::Key,
    body: PlaceBody,
) -> Result<Purchase, Problem> {
    let PlaceBody { sale, lines, coupon, address, method, expected_total } = body;
    let sale = sale.unwrap_or_else(|| app.config().sale_ordinary.clone());
    // The sales that windows of campaigns are sell to claims only, and are not on the board.
    if app.face(&sale).await?.is_none() {
        return Err(Problem::new("unknown_sale", "there is no such sale"));
    }
    let method = match method {
        None => Method::new(CARD).map_err(|bad| Problem::new("method", bad.to_string()))?,
        Some(method) if [CARD, WALLET].contains(&method.as_str()) => method,
        Some(_) => return Err(Problem::new("method", "an order is paid by card or wallet")),
    };
    let mut purchase = Purchase::of(&sale, buyer, key).method(method);
    purchase.lines = lines.into_iter().map(|Object(line)| Line { item: line.item, units: line.quantity }).collect();
    purchase.coupon = coupon;
    purchase.note = address;
    Ok(match expected_total {
        Some(total) => purchase.total(total),
        None => purchase,
    })
}

/// Places an order.
///
/// 202 means accepted and durable; the payment follows by itself. A repeat under the same key gets the same answer.
/// While `sale.intake` is `log`, 202 with the status `recorded` means held and recorded, not accepted: the order is decided a moment later, and
/// `Location` shows how. A repeat is told so, or what was decided.
#[utoipa::path(post, path = "/v1/orders", tag = "orders", request_body = PlaceBody,
    params(("Flashsale-Member" = String, Header), ("Idempotency-Key" = String, Header, description = "8 to 64 of A-Z a-z 0-9 _ -"),
        ("Flashsale-Admission" = Option<String>, Header, description = "what the room before the sale gave; without it, the member enters the room")),
    responses((status = 202, description = "Accepted and durable; or recorded, to be decided", body = PlacedView, headers(("Location", description = "The order"), ("Idempotency-Replayed", description = "`true` on a repeat"))),
        (status = 403, description = "not_open (with opens_at), too_early; admission_required (with link, place), admission_forged, admission_foreign, admission_expired, admission_used"), (status = 404, description = "unknown_sale, unknown_item, coupon_unknown"),
        (status = 409, description = "sold_out or all_held (with after), buyer_limit (with have, limit, counted), coupon_used, price_changed, cancelled"),
        (status = 410, description = "closed, coupon_expired"), (status = 422, description = "key_reused, lines, coupon_minimum, coupon_method, amount_too_large, method, invalid"),
        (status = 503, description = "Nothing was promised: repeat with the same key")))]
async fn place(State(app): State<App>, request: Request<axum::body::Body>) -> Answer {
    placed(&app, request).await
}

/// Where orders are placed.
pub(crate) const PATH: &str = "/v1/orders";

/// Answers a request that places an order.
pub(crate) async fn placed(app: &App, request: Request<axum::body::Body>) -> Answer {
    let (parts, body) = request.into_parts();
    let began = Instant::now();
    let placed = try_place(app, &parts.headers, body).await;
    match &placed {
        Ok((_, Given::First)) => app.meters().placed(Answered::First, began.elapsed()),
        Ok((_, Given::Before)) => app.meters().placed(Answered::Replayed, began.elapsed()),
        Ok((_, Given::Recorded)) => app.meters().placed(Answered::Recorded, began.elapsed()),
        Err(problem) => app.meters().placed(Answered::Refused(problem.no()), began.elapsed()),
    }
    placed.map(|(response, _)| response)
}

async fn try_place(app: &App, headers: &HeaderMap, body: axum::body::Body) -> Result<(Response, Given), Problem> {
    let buyer = extract::member(app, headers)?;
    let key = extract::key(headers)?;
    let body: PlaceBody = extract::json(app, headers, body).await?;
    let mut purchase = purchase(app, &buyer, key, body).await?;
    purchase.trace = extract::trace(headers);
    let room = rooms::let_through(app, headers, &purchase).await;
    room.map_err(|halted| rooms::problem(&purchase.sale, halted))?;
    if app.config().sale_intake != Intake::Ledger {
        return record(app, &purchase).await;
    }
    match app.flash().orders.place(&purchase).await {
        Ok(placed) => {
            let given = placed.answer.into();
            let response = written(StatusCode::ACCEPTED, &OrderView::accepted(&placed.order), given);
            Ok((located(response, &placed.order), given))
        }
        Err(error) => Err(Problem::of_order(&error, app.now())),
    }
}

async fn record(app: &App, purchase: &Purchase) -> Result<(Response, Given), Problem> {
    match app.flash().orders.record(purchase).await {
        Ok(Taken::Recorded(record)) => {
            let response = json(StatusCode::ACCEPTED, &RecordedView::of(&record, record.at));
            Ok((with(response, LOCATION, &format!("/v1/orders/{}", record.id())), Given::Recorded))
        }
        Ok(Taken::Decided(placed)) => {
            let response = written(StatusCode::ACCEPTED, &OrderView::accepted(&placed.order), placed.answer.into());
            Ok((located(response, &placed.order), placed.answer.into()))
        }
        Err(error) => Err(Problem::of_order(&error, app.now())),
    }
}

fn located(response: Response, order: &Order) -> Response {
    with(response, LOCATION, &format!("/v1/orders/{}", order.id))
}

/// The name of a purchase of `member`, or of an offer that he may have taken. A claim of a coupon is an order too, but not one that can be shown or undone here.
fn own(member: &BuyerId, name: &str) -> Result<OrderId, Problem> {
    let id = OrderId::new(name).map_err(|_| Problem::not_found())?;
    if id.buyer_str() != member.as_str() || !is_purchase(&id) {
        return Err(Problem::not_found());
    }
    Ok(id)
}

pub(crate) fn is_purchase(id: &OrderId) -> bool {
    *id == OrderId::of(&id.buyer(), &id.key()) || waitlist::is_offer(id)
}

async fn load(app: &App, id: &OrderId) -> Result<(std::sync::Arc<Order>, Timestamp), Problem> {
    let (order, now) = app.flash().orders.load(id).await?;
    order.map(|order| (order, now)).ok_or_else(Problem::not_found)
}

/// Loads an order of `member`: a foreign one and a missing one are the same.
pub(crate) async fn load_own(
    app: &App,
    member: &BuyerId,
    name: &str,
) -> Result<(std::sync::Arc<Order>, Timestamp), Problem> {
    load(app, &own(member, name)?).await
}

/// Shows an order, or that a request is recorded. A request that was recorded a moment ago may not be known here yet: 404 is no refusal of it,
/// and its repeat under the same key tells what became of it.
#[utoipa::path(get, path = "/v1/orders/{id}", tag = "orders", params(("id" = String, Path), ("Flashsale-Member" = String, Header)),
    responses((status = 200, body = PlacedView), (status = 404, description = "not_found: missing or somebody else's")))]
async fn show(State(app): State<App>, Name(id): Name, headers: HeaderMap) -> Answer {
    let member = extract::member(&app, &headers)?;
    match app.flash().orders.status(&own(&member, &id)?).await? {
        (Some(Status::Decided(order)), now) => Ok(json(StatusCode::OK, &OrderView::in_line(&app, &order, now))),
        (Some(Status::Recorded(record)), now) => Ok(json(StatusCode::OK, &RecordedView::of(&record, now))),
        (None, _) => Err(Problem::not_found()),
    }
}

/// Which orders to list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    status: Option<String>,
    key: Option<String>,
    after: Option<OrderId>,
    limit: Option<u64>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OrderPage<'a> {
    /// Latest first.
    orders: Vec<OrderView<'a>>,
    /// Where the next page begins: hand it back as `after`.
    next: Option<&'a str>,
    /// The server's time.
    #[schema(value_type = String)]
    server_time: At,
}

/// Lists the member's orders, latest first.
#[utoipa::path(get, path = "/v1/orders", tag = "orders",
    params(("status" = Option<String>, Query), ("key" = Option<String>, Query, description = "the key under which it was placed"),
        ("after" = Option<String>, Query), ("limit" = Option<u64>, Query, description = "1 to 100"), ("Flashsale-Member" = String, Header)),
    responses((status = 200, body = OrderPage)))]
async fn list(State(app): State<App>, uri: Uri, headers: HeaderMap) -> Answer {
    let member = extract::member(&app, &headers)?;
    let query: ListQuery = extract::query(&uri)?;
    let limit = page_size(query.limit)?;
    let status = match query.status.as_deref() {
        Some(word) => {
            Some(OrderState::from_code(word).ok_or_else(|| Problem::invalid("status: there is no such status"))?)
        }
        None => None,
    };
    let wanted = |order: &Order| is_purchase(&order.id) && status.is_none_or(|status| order.state == status);
    let mut orders = Vec::new();
    let mut next = None;
    if let Some(key) = query.key.as_deref() {
        let id = OrderId::of(&member, &extract::named_key(key)?);
        let (found, _) = app.flash().orders.load(&id).await?;
        orders.extend(found.filter(|order| wanted(order)));
    } else {
        let mut after = query.after;
        if after.as_ref().is_some_and(|id| id.buyer_str() != member.as_str()) {
            return Err(Problem::invalid("after: it is an order of yours"));
        }
        let mut read = 0;
        while orders.len() < limit && read < READ_MAX {
            let ask = OrderQuery { buyer: member.clone(), after: after.clone(), limit };
            let rows = app.flash().orders.list(&ask).await?;
            let last = rows.len() < limit;
            read += rows.len();
            for order in rows {
                if orders.len() == limit {
                    break;
                }
                after = Some(order.id.clone());
                orders.extend(Some(order).filter(|order| wanted(order)));
            }
            next = if last && orders.len() < limit { None } else { after.clone() };
            if last {
                break;
            }
        }
    }
    let now = app.now();
    let page = OrderPage {
        orders: orders.iter().map(|order| OrderView::in_line(&app, order, now)).collect(),
        next: next.as_ref().map(OrderId::as_str),
        server_time: At(now),
    };
    Ok(json(StatusCode::OK, &page))
}

/// A fact of an order.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventView {
    /// Its stable id.
    id: String,
    /// Its type, such as `flashsale.order.accepted.v1`.
    #[serde(rename = "type")]
    kind: String,
    /// The version of the order at which it became true.
    version: u64,
    /// When.
    #[schema(value_type = String)]
    time: At,
    /// Why, where there is a reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// How much, where money moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<u64>,
}

impl EventView {
    fn of(event: &Event) -> Self {
        let (reason, amount) = match &event.fact {
            Fact::OrderCancelled { reason, .. }
            | Fact::OrderReturnRequested { reason, .. }
            | Fact::PaymentDeclined { reason, .. } => (Some(reason.clone()), None),
            Fact::OrderStuck { over, .. } => (Some(over.code().to_owned()), None),
            Fact::OrderAccepted(order) | Fact::OrderConfirmed(order) => (None, Some(order.pays.minor())),
            Fact::OrderPaymentRequested { amount, .. } | Fact::PaymentApproved { amount, .. } => {
                (None, Some(amount.minor()))
            }
            Fact::CouponRedeemed { funded, .. } => (None, Some(funded.minor())),
            _ => (None, None),
        };
        let (id, kind) = (event.id(), event.wire_type());
        Self { id, kind, version: event.version, time: At(event.time), reason, amount }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct History {
    /// In the order in which they became true.
    events: Vec<EventView>,
    /// The server's time.
    #[schema(value_type = String)]
    server_time: At,
}

/// The facts of an order, oldest first.
pub(crate) async fn history(app: &App, id: &OrderId) -> Result<Vec<Event>, Problem> {
    let mut events = app.flash().orders.history(id).await?;
    // Facts of two topics are numbered apart; for a reader, time goes first.
    events.sort_by_key(|event| (event.time, event.version));
    Ok(events)
}

/// Tells what happened to an order.
#[utoipa::path(get, path = "/v1/orders/{id}/events", tag = "orders", params(("id" = String, Path), ("Flashsale-Member" = String, Header)),
    responses((status = 200, body = History), (status = 404, description = "not_found")))]
async fn events(State(app): State<App>, Name(id): Name, headers: HeaderMap) -> Answer {
    let member = extract::member(&app, &headers)?;
    let (order, now) = load_own(&app, &member, &id).await?;
    let events = history(&app, &order.id).await?;
    let view = History { events: events.iter().map(EventView::of).collect(), server_time: At(now) };
    Ok(json(StatusCode::OK, &view))
}

/// A write on an order that names its key: the orders, in the trace of the request, and the order as it was before.
async fn before<'a>(
    app: &'a App,
    name: &str,
    request: Request<axum::body::Body>,
) -> Result<(Cow<'a, Orders>, std::sync::Arc<Order>), Problem> {
    let (parts, body) = request.into_parts();
    let member = extract::member(app, &parts.headers)?;
    extract::key(&parts.headers)?;
    extract::nothing(app, &parts.headers, body).await?;
    let (order, _) = load_own(app, &member, name).await?;
    let orders = &app.flash().orders;
    let orders = extract::trace(&parts.headers).map_or(Cow::Borrowed(orders), |trace| Cow::Owned(orders.traced(trace)));
    Ok((orders, order))
}

/// The answer of a write on an order: a repeat finds it moved already.
fn moved(app: &App, before: &Order, after: &Order) -> Response {
    let given = if before.ver == after.ver { Given::Before } else { Given::First };
    located(written(StatusCode::ACCEPTED, &OrderView::in_line(app, after, app.now()), given), after)
}

/// Asks for the payment of an order now; it is asked for by itself too.
#[utoipa::path(post, path = "/v1/orders/{id}/payments", tag = "orders",
    params(("id" = String, Path), ("Flashsale-Member" = String, Header), ("Idempotency-Key" = String, Header)),
    responses((status = 202, body = OrderView), (status = 404, description = "not_found"), (status = 409, description = "not_payable"), (status = 410, description = "pay_by_passed")))]
async fn pay(State(app): State<App>, Name(id): Name, request: Request<axum::body::Body>) -> Answer {
    let (orders, old) = before(&app, &id, request).await?;
    let order = orders.pay(&old.id).await?;
    Ok(moved(&app, &old, &order))
}

/// Cancels an order that is not paid.
#[utoipa::path(post, path = "/v1/orders/{id}/cancel", tag = "orders",
    params(("id" = String, Path), ("Flashsale-Member" = String, Header), ("Idempotency-Key" = String, Header)),
    responses((status = 202, body = OrderView), (status = 404, description = "not_found"), (status = 409, description = "not_cancellable: return it instead")))]
async fn cancel(State(app): State<App>, Name(id): Name, request: Request<axum::body::Body>) -> Answer {
    let (orders, old) = before(&app, &id, request).await?;
    let order = orders.cancel(&old.id).await?;
    Ok(moved(&app, &old, &order))
}

/// Returns an order that was paid.
#[utoipa::path(post, path = "/v1/orders/{id}/return", tag = "orders",
    params(("id" = String, Path), ("Flashsale-Member" = String, Header), ("Idempotency-Key" = String, Header)),
    responses((status = 202, body = OrderView), (status = 404, description = "not_found"), (status = 409, description = "not_bought"), (status = 410, description = "return_period_passed")))]
async fn take_back(State(app): State<App>, Name(id): Name, request: Request<axum::body::Body>) -> Answer {
    let (orders, old) = before(&app, &id, request).await?;
    let order = orders.take_back(&old.id).await?;
    Ok(moved(&app, &old, &order))
}
