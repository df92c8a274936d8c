//! `/v1/wallet`: a member's money. Charges and refunds here are simulated: no bank is asked.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use flashsale_core::payment::{WalletAct, WalletDone, WalletEntry};
use flashsale_core::{BuyerId, CouponId, Money};
use hyper::Request;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Answer, Given, json, page_size, written};
use crate::app::App;
use crate::extract;
use crate::problem::At;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(show))
        .routes(routes!(entries))
        .routes(routes!(charge))
        .routes(routes!(refund))
        .routes(routes!(trade))
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BalanceView {
    /// What is in the wallet.
    balance: u64,
    /// The server's time.
    #[schema(value_type = String)]
    server_time: At,
}

/// Shows the balance.
#[utoipa::path(get, path = "/v1/wallet", tag = "wallet", params(("Flashsale-Member" = String, Header)), responses((status = 200, body = BalanceView)))]
async fn show(State(app): State<App>, headers: HeaderMap) -> Answer {
    let member = extract::member(&app, &headers)?;
    let balance = app.wallet().balance(&member).await?.minor();
    Ok(json(StatusCode::OK, &BalanceView { balance, server_time: At(app.now()) }))
}

/// Which entries.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EntriesQuery {
    before: Option<u64>,
    limit: Option<u64>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EntryPage {
    /// Latest first.
    entries: Vec<EntryView>,
    /// Where the next page begins: hand it back as `before`.
    next: Option<u64>,
    /// The server's time.
    #[schema(value_type = String)]
    server_time: At,
}

/// One movement of money.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EntryView {
    /// Its number.
    no: u64,
    /// charged, withdrawn, paid, received, refunded, funded.
    kind: &'static str,
    /// By how much the balance changed.
    amount: i64,
    /// The balance after it.
    balance: u64,
    /// The order, charge or trade that caused it.
    cause: String,
    /// When.
    #[schema(value_type = String)]
    at: At,
}

impl From<WalletEntry> for EntryView {
    fn from(entry: WalletEntry) -> Self {
        let WalletEntry { no, kind, amount, balance, cause, at, .. } = entry;
        Self { no, kind: kind.code(), amount, balance: balance.minor(), cause, at: At(at) }
    }
}

/// Lists movements, latest first.
#[utoipa::path(get, path = "/v1/wallet/entries", tag = "wallet",
    params(("before" = Option<u64>, Query), ("limit" = Option<u64>, Query, description = "1 to 100"), ("Flashsale-Member" = String, Header)),
    responses((status = 200, body = EntryPage)))]
async fn entries(State(app): State<App>, uri: Uri, headers: HeaderMap) -> Answer {
    let member = extract::member(&app, &headers)?;
    let EntriesQuery { before, limit } = extract::query(&uri)?;
    let limit = page_size(limit)?;
    // No number is larger than what the ledger can store.
    let before = before.map(|no| no.min(i64::MAX as u64));
    let entries = app.wallet().entries(&member, before, limit).await?;
    let next = entries.last().map(|entry| entry.no).filter(|_| entries.len() == limit);
    let entries = entries.into_iter().map(EntryView::from).collect();
    Ok(json(StatusCode::OK, &EntryPage { entries, next, server_time: At(app.now()) }))
}

/// How much.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AmountBody {
    /// In minor units, from 1 to 10^15.
    #[schema(value_type = u64)]
    amount: Money,
}

/// What a charge or refund did.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MovedView {
    /// What moved.
    amount: u64,
    /// The balance after it.
    balance: u64,
    /// The server's time when it was done.
    #[schema(value_type = String)]
    server_time: At,
}

/// What a trade did.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TradeView {
    /// What the buyer paid.
    buyer_paid: u64,
    /// What the seller received: the full amount.
    seller_received: u64,
    /// What the platform added.
    funded: u64,
    /// The buyer's balance after it.
    balance: u64,
    /// The server's time when it was done.
    #[schema(value_type = String)]
    server_time: At,
}

/// Does it once under the key of the request.
async fn act<T: DeserializeOwned>(
    app: &App,
    request: Request<Body>,
    what: impl FnOnce(T) -> WalletAct,
) -> Result<(WalletDone, Given), crate::problem::Problem> {
    let (parts, body) = request.into_parts();
    let member = extract::member(app, &parts.headers)?;
    let key = extract::key(&parts.headers)?;
    let body: T = extract::json(app, &parts.headers, body).await?;
    let done = app.wallet().act(&member, &key, what(body)).await?;
    let given = if done.replayed { Given::Before } else { Given::First };
    Ok((done, given))
}

/// Puts money in (simulated).
#[utoipa::path(post, path = "/v1/wallet/charges", tag = "wallet", request_body = AmountBody,
    params(("Flashsale-Member" = String, Header), ("Idempotency-Key" = String, Header)),
    responses((status = 201, body = MovedView), (status = 409, description = "too_much"), (status = 422, description = "amount_zero, key_reused, invalid")))]
async fn charge(State(app): State<App>, request: Request<Body>) -> Answer {
    let mut amount = Money::ZERO;
    let done = act(&app, request, |body: AmountBody| {
        amount = body.amount;
        WalletAct::Charge { amount: body.amount }
    });
    let (done, given) = done.await?;
    Ok(written(StatusCode::CREATED, &moved(amount, &done), given))
}

/// Takes money out (simulated).
#[utoipa::path(post, path = "/v1/wallet/refunds", tag = "wallet", request_body = AmountBody,
    params(("Flashsale-Member" = String, Header), ("Idempotency-Key" = String, Header)),
    responses((status = 201, body = MovedView), (status = 409, description = "insufficient"), (status = 422, description = "amount_zero, key_reused, invalid")))]
async fn refund(State(app): State<App>, request: Request<Body>) -> Answer {
    let mut amount = Money::ZERO;
    let done = act(&app, request, |body: AmountBody| {
        amount = body.amount;
        WalletAct::Withdraw { amount: body.amount }
    });
    let (done, given) = done.await?;
    Ok(written(StatusCode::CREATED, &moved(amount, &done), given))
}

fn moved(amount: Money, done: &WalletDone) -> MovedView {
    MovedView { amount: amount.minor(), balance: done.balance.minor(), server_time: At(done.at) }
}

/// Who gets how much.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TradeBody {
    /// Who gets the full amount.
    #[schema(value_type = String)]
    seller: BuyerId,
    /// The full amount.
    #[schema(value_type = u64)]
    amount: Money,
    /// A coupon of the buyer's; the platform pays what it takes off.
    #[schema(value_type = Option<String>)]
    coupon: Option<CouponId>,
}

/// Pays a seller from the wallet, with a coupon if there is one.
#[utoipa::path(post, path = "/v1/wallet/trades", tag = "wallet", request_body = TradeBody,
    params(("Flashsale-Member" = String, Header), ("Idempotency-Key" = String, Header)),
    responses((status = 201, body = TradeView), (status = 404, description = "coupon_unknown"), (status = 409, description = "insufficient, coupon_used"),
        (status = 410, description = "coupon_expired"), (status = 422, description = "coupon_minimum, coupon_method, same_member, amount_zero, key_reused, invalid")))]
async fn trade(State(app): State<App>, request: Request<Body>) -> Answer {
    let done = act(&app, request, |TradeBody { seller, amount, coupon }| WalletAct::Trade { seller, amount, coupon });
    let (done, given) = done.await?;
    let view = TradeView {
        buyer_paid: done.split.buyer_pays.minor(),
        seller_received: done.split.seller_gets.minor(),
        funded: done.split.funded.minor(),
        balance: done.balance.minor(),
        server_time: At(done.at),
    };
    Ok(written(StatusCode::CREATED, &view, given))
}
