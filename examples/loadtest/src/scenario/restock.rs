//! `restock`: all is sold, fifty wait, ten units come back; half of the offers lapse while a crowd presses for what is not for sale.
//!
//! Owns the load and what must be true of it: who is offered, in which order, who is told, and that nobody else gets one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hyper::body::Bytes;
use serde::Deserialize;
use serde_json::json;
use tokio::task::JoinSet;

use crate::Failure;
use crate::audit::Received;
use crate::client::{Call, Client, json, path};
use crate::ledger::{OfferRow, Scope};
use crate::pool::Pool;
use crate::report::Identity;
use crate::run::Tally;
use crate::scenario::{Played, Stage};

/// Units that there are, and that come back.
const UNITS: usize = 10;
/// Of those that come back: how many are returned by who bought them; the others are new.
const RETURNED: usize = 6;
const WAITERS: usize = 50;
/// Who presses for a unit meanwhile, and how long each rests in between.
const PUBLIC: usize = 8;
const REST: Duration = Duration::from_millis(5);
/// How long a member has to take an offer: so short that nine lapse within the run, and longer than it takes until all ten are made.
pub(super) const OFFER_WITHIN_S: u64 = 3;
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long it may take until the last unit is taken: ten times as long as the offers that lapse one after the other.
const PATIENCE: Duration = Duration::from_secs(120);
/// The least that is sent, as far as is known before.
pub(super) const REQUESTS: usize = 2 * UNITS + 2 * WAITERS;

/// The sale that is played, and who plays.
#[derive(Debug)]
struct Play {
    sale: String,
    suffix: String,
    pool: Arc<Pool>,
    /// Set once all units are offered: nobody takes his before.
    all_held: AtomicBool,
    taken: AtomicUsize,
    over: AtomicBool,
}

/// What a member of the line is told of his place.
#[derive(Debug, Deserialize)]
struct Wish {
    number: u64,
    status: String,
}

#[derive(Debug, Deserialize)]
struct Offers {
    offers: Vec<Offer>,
}

#[derive(Debug, Deserialize)]
struct Offer {
    id: String,
    until: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Named {
    id: String,
}

impl Play {
    fn order(&self, member: &str) -> Call {
        let order = json(&json!({ "sale": self.sale, "lines": [{ "item": "unit", "quantity": 1 }] }));
        Call::post(path("/v1/orders"), order).by(member).keyed("order-once")
    }

    fn line(&self) -> hyper::Uri {
        path(&format!("/v1/sales/{}/waitlist", self.sale))
    }

    fn wish(&self, member: &str) -> Call {
        Call::post(self.line(), json(&json!({ "item": "unit", "quantity": 1 }))).by(member)
    }

    fn waiter(&self, n: usize) -> String {
        format!("w{n}{}", self.suffix)
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Sends a call that must be answered so.
    async fn insist(&self, what: &str, call: &Call, status: u16) -> Result<crate::pool::Reply, Failure> {
        let reply = self.pool.ask(call).await;
        match reply.status() {
            is if is == status => Ok(reply),
            _ => Err(Failure::Server(format!("{what} was answered {}", reply.shown()))),
        }
    }
}

/// Plays it.
pub(super) async fn play(stage: &Stage) -> Result<Played, Failure> {
    let (mut client, began) = (Client::new(stage.first()), Instant::now());
    let pool = Pool::gather(&stage.servers, WAITERS / 2, stage.watch.clone()).await;
    let (sale, suffix) = (stage.named("restock"), stage.suffix.clone());
    let (all_held, taken, over) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicBool::new(false));
    let play = Arc::new(Play { sale, suffix, pool, all_held, taken, over });
    let terms = json!({
        "id": play.sale, "hold_ms": 10_000, "pay_within_s": 60,
        "items": [{ "id": "unit", "total": UNITS, "price": 10_000, "per_buyer": 1 }],
    });
    let create = Call::post(path("/v1/sales"), json(&terms)).by("operator").keyed(&stage.named("create-sale"));
    client.insist(&create, &[201]).await?;
    let early = play.pool.ask(&play.wish(&play.waiter(WAITERS))).await;
    let still_there = (early.status(), early.code()) == (409, "still_available".to_owned());

    let mut tally = Tally::default();
    let bought = sell_out(&play, &mut tally).await?;
    stage.settle(&mut client, began, std::slice::from_ref(&play.sale)).await?;
    let numbers = line_up(&play).await?;
    let mut public = JoinSet::new();
    for n in 0..PUBLIC {
        let play = play.clone();
        public.spawn(async move { press(&play, n).await });
    }
    let mut waiters = JoinSet::new();
    for n in 0..WAITERS {
        let play = play.clone();
        waiters.spawn(async move { wait(&play, n).await });
    }
    come_back(stage, &play, &bought).await?;
    let held = most_held(stage, &play).await?;
    let mut accepted = Vec::new();
    while let Some(waited) = waiters.join_next().await {
        accepted.extend(waited.map_err(std::io::Error::other)??);
    }
    let mut crowd = Tally::default();
    while let Some(pressed) = public.join_next().await {
        crowd.add(pressed.map_err(std::io::Error::other)?);
    }
    let sold_to_public = crowd.accepted();
    tally.add(crowd);
    tally.span = Some((began, Instant::now()));

    let scope = Scope { sales: vec![play.sale.clone()], ..Scope::default() };
    let settled = stage.settle(&mut client, began, &scope.sales).await?;
    let late = late(&play).await;
    let (ended, offers) = (stage.ledger.ended(&play.sale).await?, stage.ledger.offers(&play.sale).await?);
    let mut identities = vec![
        Identity::new("a line before all is sold is refused", still_there, early.shown()),
        Identity::new("numbers of the line are those of its order", is_order(&numbers), format!("{numbers:?}")),
        Identity::exact("offers held at once", UNITS as u64, held),
        Identity::exact("sold to the public meanwhile", 0, sold_to_public),
        Identity::new("an offer that lapsed cannot be taken", late == "410 lapsed", late),
        Identity::exact("confirmed", (2 * UNITS - RETURNED) as u64, ended.confirmed),
    ];
    identities.extend(of_offers(&offers, &accepted));
    let orders = tally.won.iter().map(|won| won.id.clone()).chain(accepted).collect();
    let received = Received { orders, ..Received::default() };
    let left = offers.iter().filter(|offer| offer.state == "lapsed").count() as u64;
    Ok(Played { tally, ended, left, scope, received, settled, identities, estimate: None })
}

/// The first ten buy all there is; gives who, and their orders.
async fn sell_out(play: &Play, tally: &mut Tally) -> Result<Vec<(String, String)>, Failure> {
    let mut bought = Vec::new();
    for n in 0..UNITS {
        let member = format!("b{n}{}", play.suffix);
        let reply = play.insist("an order", &play.order(&member), 202).await?;
        tally.take(n, reply.asked, &reply.body);
        bought.push((member, reply.json::<Named>()?.id));
    }
    Ok(bought)
}

/// Fifty say where they are told things and join the line, one after the other, each twice; gives their numbers.
async fn line_up(play: &Play) -> Result<Vec<u64>, Failure> {
    let mut numbers = Vec::new();
    for n in 0..WAITERS {
        let member = play.waiter(n);
        let contact = json(&json!({ "email": format!("w{n}@shop.example.org") }));
        play.insist("a contact", &Call::put(path("/v1/me/contact"), contact).by(&member), 200).await?;
        let first: Wish = play.insist("a wish", &play.wish(&member), 201).await?.json()?;
        let again: Wish = play.insist("the same wish", &play.wish(&member), 200).await?.json()?;
        if first.number != again.number || again.status != "waiting" {
            return Err(Failure::Server(format!("the same wish is another: {first:?}, {again:?}")));
        }
        numbers.push(first.number);
    }
    Ok(numbers)
}

/// One of the public presses until all is over, each time as another member.
async fn press(play: &Play, n: usize) -> Tally {
    let mut tally = Tally::default();
    let mut k = 0;
    while !play.is_over() {
        let reply = play.pool.ask(&play.order(&format!("p{n}-{k}{}", play.suffix))).await;
        tally.take(k, reply.asked, &reply.body);
        k += 1;
        tokio::time::sleep(REST).await;
    }
    tally
}

/// Whether the waiter of this place in the line takes his offer: every other does.
fn takes(n: usize) -> bool {
    n.is_multiple_of(2)
}

/// Waits for an offer. Gives the order that it became, if he took it.
async fn wait(play: &Play, n: usize) -> Result<Option<String>, Failure> {
    if !takes(n) {
        return Ok(None);
    }
    let (member, began) = (play.waiter(n), Instant::now());
    while !play.is_over() {
        if began.elapsed() > PATIENCE {
            play.over.store(true, Ordering::Relaxed);
            break;
        }
        let look = Call::get(path("/v1/offers")).by(&member);
        let told: Offers = play.insist("a look at offers", &look, 200).await?.json()?;
        // His time runs from when he was told: before that he knows nothing of it.
        let told = told.offers.iter().find(|offer| offer.until.is_some());
        if let Some(offer) = told.filter(|_| play.all_held.load(Ordering::Relaxed)) {
            let accept = Call::post(path(&format!("/v1/offers/{}/accept", offer.id)), Bytes::new());
            let accept = accept.by(&member).keyed("accept-once");
            let order: Named = play.insist("an offer that is taken", &accept, 202).await?.json()?;
            if play.taken.fetch_add(1, Ordering::Relaxed) + 1 == UNITS {
                play.over.store(true, Ordering::Relaxed);
            }
            return Ok(Some(order.id));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(None)
}

/// Some buyers return what they paid for, and an operator adds the rest.
async fn come_back(stage: &Stage, play: &Play, bought: &[(String, String)]) -> Result<(), Failure> {
    for (member, order) in &bought[..RETURNED] {
        let back = Call::post(path(&format!("/v1/orders/{order}/return")), Bytes::new());
        play.insist("a return", &back.by(member).keyed("return-once"), 202).await?;
    }
    let adjust = json(&json!({ "by": UNITS - RETURNED, "reason": "found behind the shelf" }));
    let adjust = Call::post(path(&format!("/ops/v1/sales/{}/items/unit/adjustments", play.sale)), adjust);
    play.insist("an adjustment", &adjust.by("operator").keyed(&stage.named("adjust-once")), 200).await?;
    Ok(())
}

/// The most offers that were held at once, until the last is taken. Lets them be taken once all are held, or cannot be any more.
async fn most_held(stage: &Stage, play: &Play) -> Result<u64, Failure> {
    let (mut most, began) = (0, Instant::now());
    while !play.is_over() {
        most = most.max(stage.ledger.offered(&play.sale).await?);
        let late = began.elapsed() > Duration::from_secs(2 * OFFER_WITHIN_S);
        play.all_held.fetch_or(most >= UNITS as u64 || late, Ordering::Relaxed);
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(most)
}

/// What the first whose offer lapsed is answered when he takes it after all.
async fn late(play: &Play) -> String {
    let member = play.waiter(1);
    let look = Call::get(path(&format!("/v1/sales/{}/waitlist?item=unit", play.sale))).by(&member);
    #[derive(Deserialize)]
    struct Had {
        offer: Option<String>,
    }
    let had = play.pool.ask(&look).await.json::<Had>().ok().and_then(|had| had.offer);
    let Some(offer) = had else { return "no offer".to_owned() };
    let accept = Call::post(path(&format!("/v1/offers/{offer}/accept")), Bytes::new());
    play.pool.ask(&accept.by(&member).keyed("accept-late")).await.shown()
}

fn is_order(numbers: &[u64]) -> bool {
    numbers.windows(2).all(|pair| pair[0] < pair[1])
}

/// Offers go down the line, each once and told once; those that lapse go to the next.
fn of_offers(offers: &[OfferRow], accepted: &[String]) -> Vec<Identity> {
    let numbers: Vec<u64> = offers.iter().map(|offer| offer.number).collect();
    // Half of those who are offered take it: as many offers lapse as stand between the first and the last unit that is taken.
    let due = 2 * UNITS - 1;
    let first = numbers.first().copied().unwrap_or(0);
    let down_the_line = numbers.iter().zip(first..).all(|(number, due)| *number == due);
    let state = |wanted: &str| offers.iter().filter(|offer| offer.state == wanted).count();
    let told_once = offers.iter().filter(|offer| offer.made == 1 && offer.told == 1).count();
    vec![
        Identity::new("offers go down the line, one after the other", down_the_line, format!("{numbers:?}")),
        Identity::exact("offers", due, offers.len()),
        Identity::exact("of them taken", UNITS, state("accepted").min(accepted.len())),
        Identity::exact("of them lapsed", UNITS - 1, state("lapsed")),
        Identity::exact("of them made and told once", due, told_once),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offers() -> Vec<OfferRow> {
        let row = |n: usize| OfferRow {
            number: n as u64 + 1,
            state: if takes(n) { "accepted" } else { "lapsed" }.to_owned(),
            made: 1,
            told: 1,
        };
        (0..2 * UNITS - 1).map(row).collect()
    }

    fn violated(offers: &[OfferRow]) -> Vec<String> {
        let accepted: Vec<String> = (0..UNITS).map(|n| format!("w{n}~waitlist~k")).collect();
        of_offers(offers, &accepted).into_iter().filter(|i| !i.holds).map(|i| i.name).collect()
    }

    #[test]
    fn half_of_the_offers_lapse_and_the_tenth_that_is_taken_is_the_nineteenth() {
        let takers: Vec<usize> = (0..WAITERS).filter(|n| takes(*n)).collect();
        assert_eq!(takers[UNITS - 1] + 1, 2 * UNITS - 1);
        assert!(violated(&offers()).is_empty());
    }

    #[test]
    fn an_offer_out_of_turn_or_told_twice_is_seen() {
        let mut swapped = offers();
        swapped.swap(3, 4);
        assert_eq!(violated(&swapped), ["offers go down the line, one after the other"]);
        for (made, told) in [(2, 1), (1, 2), (1, 0)] {
            let mut twice = offers();
            twice[2] = OfferRow { made, told, ..twice[2].clone() };
            assert_eq!(violated(&twice), ["of them made and told once = 19"], "{made}, {told}");
        }
        let mut lost = offers();
        lost[2].state = "lapsed".to_owned();
        assert_eq!(violated(&lost).len(), 2);
    }

    #[test]
    fn a_line_that_numbers_out_of_order_is_seen() {
        assert!(is_order(&[1, 2, 5]));
        assert!(!is_order(&[1, 1]) && !is_order(&[2, 1]));
    }
}
