//! Members charge their wallets and trade.
//!
//! Owns the loads `wallet-idem`, `wallet-coupon` and what must be true of each.

use std::collections::VecDeque;
use std::time::Instant;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::Failure;
use crate::audit::Received;
use crate::client::{Answer, Call, Client, json, path};
use crate::ledger::{Ended, Scope};
use crate::report::Identity;
use crate::run::{Crowd, Tally};
use crate::scenario::{Played, Stage, coupon};

/// Requests at once, under one key.
const AT_ONCE: usize = 1_000;
/// Requests of `wallet-coupon`.
pub(super) const COUPON_REQUESTS: usize = 9;

fn charge(member: &str, key: &str, amount: u64) -> Call {
    Call::post(path("/v1/wallet/charges"), json(&json!({ "amount": amount }))).by(member).keyed(key)
}

fn trade(member: &str, key: &str, seller: &str, amount: u64, coupon: Option<&str>) -> Call {
    let mut body = json!({ "seller": seller, "amount": amount });
    if let Some(coupon) = coupon {
        body["coupon"] = coupon.into();
    }
    Call::post(path("/v1/wallet/trades"), json(&body)).by(member).keyed(key)
}

async fn balance(client: &mut Client, member: &str) -> Result<u64, Failure> {
    #[derive(Deserialize)]
    struct Wallet {
        balance: u64,
    }
    client.insist(&Call::get(path("/v1/wallet")).by(member), &[200]).await?;
    Ok(client.json::<Wallet>()?.balance)
}

/// The name under which the ledger keeps a request.
fn request(member: &str, key: &str) -> String {
    format!("{member}~wallet~{key}")
}

/// Plays `wallet-idem`: 1,000 charges at once under one key, then 1,000 trades under another.
pub(super) async fn play_idem(stage: &Stage) -> Result<Played, Failure> {
    let (buyer, seller) = (stage.named("buyer"), stage.named("vendor"));
    let mut client = Client::new(stage.first());
    let mut crowd = Crowd::gather(&stage.servers, AT_ONCE, stage.watch.clone()).await;
    let began = Instant::now();
    let one = charge(&buyer, "charge-once", 20_000);
    let charges = crowd.send(0..AT_ONCE, move |_| one.clone()).await;
    let charged = balance(&mut client, &buyer).await?;
    let one = trade(&buyer, "trade-once", &seller, 10_000, None);
    let trades = crowd.send(0..AT_ONCE, move |_| one.clone()).await;
    let (paid, received) = (balance(&mut client, &buyer).await?, balance(&mut client, &seller).await?);
    let settled = stage.settle(&mut client, began, &[]).await?;
    let identities = vec![
        Identity::exact("charges answered 201", AT_ONCE as u64, charges.accepted()),
        Identity::exact("balance after one charge", 20_000, charged),
        Identity::exact("trades answered 201", AT_ONCE as u64, trades.accepted()),
        Identity::exact("buyer's balance after one trade", 10_000, paid),
        Identity::exact("seller's balance after one trade", 10_000, received),
    ];
    let mut tally = charges;
    tally.add(trades);
    let received =
        Received { wallet: vec![request(&buyer, "charge-once"), request(&buyer, "trade-once")], ..Received::default() };
    let scope = Scope { members: vec![buyer, seller], ..Scope::default() };
    // Nothing is left to happen after a charge or a trade: what is recorded is done.
    let ended = Ended { rows: 2, confirmed: 2, ..Ended::default() };
    Ok(Played { tally, ended, left: 0, scope, received, settled, identities, estimate: None })
}

/// One step after another, each at the next server, tallied like a load.
struct Steps<'a> {
    clients: VecDeque<Client>,
    stage: &'a Stage,
    tally: Tally,
}

impl Steps<'_> {
    /// The connection to the next server.
    fn next(&mut self) -> &mut Client {
        self.clients.rotate_left(1);
        &mut self.clients[0]
    }

    async fn take(&mut self, call: &Call) -> Result<(Answer, Value), Failure> {
        let began = Instant::now();
        let asked = self.next().ask(call).await;
        let n = usize::try_from(self.tally.requests).unwrap_or(usize::MAX);
        self.tally.take(n, asked, self.clients[0].body());
        self.stage.watch.count();
        let now = Instant::now();
        self.tally.span = Some((self.tally.span.map_or(began, |span| span.0), now));
        let answer = asked.answer.ok_or_else(|| Failure::Server("a step was not answered".into()))?;
        Ok((answer, self.clients[0].json().unwrap_or(Value::Null)))
    }
}

fn split(body: &Value) -> String {
    let of = |name: &str| body.get(name).map_or_else(|| "-".to_owned(), Value::to_string);
    format!("{} {} {}", of("buyer_paid"), of("seller_received"), of("funded"))
}

fn refusal(answer: Answer, body: &Value) -> String {
    format!("{} {}", answer.status, body.get("code").and_then(Value::as_str).unwrap_or("-"))
}

fn id(body: &Value) -> String {
    body.get("id").and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Plays `wallet-coupon`: a trade with a coupon, its refusals, and a coupon that an undone order gives back.
pub(super) async fn play_coupon(stage: &Stage) -> Result<Played, Failure> {
    let [rich, poor, seller] = ["rich", "poor", "vendor"].map(|stem| stage.named(stem));
    let (campaign, sale) = (stage.named("wallet-coupon"), stage.named("wallet-sale"));
    let mut clients: VecDeque<Client> = stage.servers.iter().map(|server| Client::new(*server)).collect();
    let client = &mut clients[0];
    coupon::create(client, stage, &campaign, "13:00", None).await?;
    let terms = json!({ "id": sale, "hold_ms": 10_000, "pay_within_s": 60,
        "items": [{ "id": "unit", "total": 1, "price": 10_000, "per_buyer": 1 }] });
    let create = Call::post(path("/v1/sales"), json(&terms)).by("operator").keyed(&stage.named("create-sale"));
    client.insist(&create, &[201]).await?;

    let began = Instant::now();
    let mut steps = Steps { clients, stage, tally: Tally::default() };
    let (_, body) = steps.take(&coupon::claim(&campaign, &rich, "claim-rich")).await?;
    let first = id(&body);
    steps.take(&charge(&rich, "charge-rich", 30_000)).await?;
    let (answer, body) = steps.take(&trade(&rich, "trade-01", &seller, 9_999, Some(&first))).await?;
    let below = refusal(answer, &body);
    let (_, body) = steps.take(&trade(&rich, "trade-02", &seller, 10_000, Some(&first))).await?;
    let traded = split(&body);
    let balances = format!("{} {}", balance(steps.next(), &rich).await?, balance(steps.next(), &seller).await?);
    let (answer, body) = steps.take(&trade(&rich, "trade-03", &seller, 10_000, Some(&first))).await?;
    let used = refusal(answer, &body);

    // An order that its buyer cannot pay is undone; then the coupon works again.
    let (_, body) = steps.take(&coupon::claim(&campaign, &poor, "claim-poor")).await?;
    let second = id(&body);
    let order = json!({ "sale": sale, "lines": [{ "item": "unit", "quantity": 1 }], "coupon": second,
        "method": "wallet", "expected_total": 7_000 });
    let order = Call::post(path("/v1/orders"), json(&order)).by(&poor).keyed("order-poor");
    let (_, body) = steps.take(&order).await?;
    let ordered = id(&body);
    stage.settle(steps.next(), began, std::slice::from_ref(&sale)).await?;
    let undone = stage.ledger.ended(&sale).await?;
    steps.take(&charge(&poor, "charge-poor", 7_000)).await?;
    let (_, body) = steps.take(&trade(&poor, "trade-poor", &seller, 10_000, Some(&second))).await?;
    let restored = split(&body);

    let settled = stage.settle(steps.next(), began, std::slice::from_ref(&sale)).await?;
    let identities = vec![
        Identity::exact("below 10,000", "422 coupon_minimum", &below),
        Identity::exact("buyer pays, seller receives, platform funds", "7000 10000 3000", &traded),
        Identity::exact("balances of buyer and seller", "23000 10000", &balances),
        Identity::exact("used again", "409 coupon_used", &used),
        Identity::exact("orders undone for want of money", 1, undone.declined),
        Identity::exact("the undone order's coupon used again", "7000 10000 3000", &restored),
    ];
    let wallet = [(&rich, "charge-rich"), (&rich, "trade-02"), (&poor, "charge-poor"), (&poor, "trade-poor")];
    let received = Received {
        orders: vec![ordered],
        coupons: vec![first, second],
        wallet: wallet.into_iter().map(|(member, key)| request(member, key)).collect(),
    };
    let scope = Scope { sales: vec![sale], campaigns: vec![campaign], members: vec![rich, poor, seller] };
    // Two coupons, two charges and two trades are done; the order was undone.
    let ended = Ended { rows: 7, confirmed: 6, ..undone };
    Ok(Played { tally: steps.tally, ended, left: 0, scope, received, settled, identities, estimate: None })
}
