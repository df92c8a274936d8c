//! One ledger told everything once, and asked everything: rows in every table, and a text of all that is read back.
//!
//! For tests of what must not change with a backend's version: its statements, its schema.

use std::sync::Arc;
use std::time::Duration;

use flashsale_core::coupon::{At, Campaign, CouponLedger};
use flashsale_core::event::{DeadLetter, DeadLetters, Outbox, Replay};
use flashsale_core::id::ContentHash;
use flashsale_core::notice::{NoticeLedger, Settled};
use flashsale_core::order::{Input, OrderQuery, Policy, Reason, Verdict, step};
use flashsale_core::payment::{Capture, Charge, PaymentKey, WalletAct, WalletLedger, WalletRequest};
use flashsale_core::sale::Lines;
use flashsale_core::stock::{Accept, Acceptance, Adopted, Cancel, Change, Epoch, HoldNo, Nonce, Order, Then};
use flashsale_core::unit::Quantity;
use flashsale_core::waitlist::{Join, Joined, Leave, Parting, WaitlistLedger, Wish};
use flashsale_core::{BuyerId, Item, Key, Method, OrderId, Sale, Timestamp, won};

use crate::sample;

/// A ledger that keeps every noun.
pub trait Everything: WaitlistLedger + CouponLedger + WalletLedger + Outbox + DeadLetters + NoticeLedger {}

impl<L: WaitlistLedger + CouponLedger + WalletLedger + Outbox + DeadLetters + NoticeLedger> Everything for L {}

fn accept(id: &str, then: Then) -> Accept {
    let item = if matches!(then, Then::Issue(_)) { "coupon" } else { "hat" };
    Accept {
        id: OrderId::new(id).unwrap(),
        hash: ContentHash(7),
        lines: Lines::one(&item.parse().unwrap(), Quantity::MIN),
        hold: None,
        expect: None,
        coupon: None,
        method: Some(Method::new("wallet").unwrap()),
        note: None,
        then,
        trace: None,
    }
}

/// Tells a fresh ledger, whose time is near 0, something of every noun, and asks it on the way.
///
/// # Panics
/// If it does not do what it is told.
pub async fn told(ledger: &impl Everything) {
    told_of(ledger, "drop", "plant", "ann").await;
}

/// As [`told`], of a sale, a campaign and a buyer of these names, which the ledger must not know yet.
///
/// # Panics
/// If it does not do what it is told.
pub async fn told_of(ledger: &impl Everything, drop: &str, plant: &str, name: &str) {
    told_before_wishes(ledger, drop, plant, name).await;
    wished(ledger, &format!("{drop}-line"), name).await;
    noticed(ledger, name).await;
}

/// Tells a ledger of wishes: of two in a line, one is offered what came back, and the sale ends. The sale must not be known yet.
///
/// # Panics
/// If it does not do what it is told.
pub async fn wished(ledger: &impl Everything, drop: &str, name: &str) {
    let cap = Item::named("cap").unwrap().units(1).unwrap().price(won(9)).per_buyer(2).unwrap();
    let sale = Sale::named(drop).unwrap().item(cap);
    let accept = |id: &str, then| Accept { lines: Lines::one(&sale.items[0].id, Quantity::MIN), ..accept(id, then) };
    ledger.open(&sale).await.unwrap().unwrap();
    let seller = accept(&format!("seller~{drop}"), Then::Keep);
    ledger.accept(&sale.id, std::slice::from_ref(&seller)).await.unwrap();
    let (cap, member) = (sale.items[0].id.clone(), |more: &str| BuyerId::new(&format!("{name}{more}")).unwrap());
    let join = |more: &str| Join { item: cap.clone(), member: member(more), units: Quantity::MIN };
    let (joined, _) = ledger.join(&sale.id, &[join(""), join("-2"), join("-3")]).await.unwrap();
    let wishes: Vec<&Wish> = joined
        .iter()
        .map(|joined| match joined {
            Joined::Done(wish) => wish,
            other => panic!("{other:?}"),
        })
        .collect();
    ledger.gather(&[wishes[0].offer.clone()]).await.unwrap();
    let leave = Leave { offer: wishes[1].offer.clone(), why: Parting::Member };
    ledger.leave(&sale.id, &[leave]).await.unwrap();
    ledger.cancel(&sale.id, &[Cancel { id: seller.id, reason: Reason::Operator }]).await.unwrap();
    ledger.sought(9).await.unwrap();
    let line = ledger.line(&sale.id, &cap, 9).await.unwrap().unwrap();
    assert_eq!(line.waiters.len(), 2);
    let then = Then::Offer { tell_within: Duration::from_secs(1) };
    let answers = ledger.accept(&sale.id, &[accept(wishes[0].offer.as_str(), then)]).await.unwrap().answers;
    let Acceptance::Decided(offer) = &answers[0] else { panic!("{answers:?}") };
    let now = Timestamp::from_ms(5);
    let Verdict::Move(told) = step(Some(offer), &Input::OfferTold, now, &Policy::default()) else { panic!("moves") };
    ledger.append(&sale.id, &[*told]).await.unwrap();
    ledger.place(&sale.id, &cap, &member("-3")).await.unwrap();
    ledger.wishes(&member(""), 4).await.unwrap();
    let close = Change::State(flashsale_core::sale::SaleState::Closed);
    ledger.change(&sale.id, &Key::new("c").unwrap(), &close).await.unwrap().unwrap();
    assert_eq!(ledger.end(&sale.id, 9).await.unwrap().0, 1);
}

/// As [`told_of`], without wishes and notices.
///
/// # Panics
/// If it does not do what it is told.
pub async fn told_before_wishes(ledger: &impl Everything, drop: &str, plant: &str, name: &str) {
    let pay = || Then::Pay { within: Duration::from_secs(1) };
    let hat = Item::named("hat").unwrap().units(2).unwrap().price(won(9)).per_buyer(2).unwrap();
    let sale = Sale::named(drop).unwrap().item(hat);
    ledger.open(&sale).await.unwrap().unwrap();
    let campaign = Campaign::named(plant).unwrap().takes_off(won(3));
    ledger.campaigns_put(std::slice::from_ref(&campaign)).await.unwrap();
    ledger.campaigns().await.unwrap();
    ledger.campaign(&campaign.id).await.unwrap();
    let now = Timestamp::from_ms(5);
    let At::Open(opening) = campaign.at(now) else { panic!("it is open") };
    let claims = campaign.sale(&opening).unwrap();
    ledger.open(&claims).await.unwrap().unwrap();
    let ann = BuyerId::new(name).unwrap();
    let coupon = campaign.coupon(&opening, &ann, now).unwrap();
    ledger
        .accept(&claims.id, &[accept(&format!("{name}~{plant}~k"), Then::Issue(Box::new(coupon.clone())))])
        .await
        .unwrap();
    ledger.coupons_of(&ann, None, 3).await.unwrap();
    let with_coupon = Accept { coupon: Some(coupon.id.clone()), ..accept(&format!("{name}~1"), pay()) };
    let answer = ledger.accept(&sale.id, &[with_coupon, accept(&format!("{name}~2"), pay())]).await.unwrap();
    let Acceptance::Decided(order) = &answer.answers[0] else { panic!("decided") };
    let Verdict::Move(append) = step(Some(order), &Input::BuyerCancels, now, &Policy::default()) else {
        panic!("moves")
    };
    ledger.append(&sale.id, &[*append]).await.unwrap();
    let cancel = |id: &str| Cancel { id: OrderId::new(id).unwrap(), reason: Reason::Operator };
    ledger.cancel(&sale.id, &[cancel(&format!("{name}~2")), cancel(&format!("{name}~3"))]).await.unwrap();
    let version = ledger.totals(&sale.id).await.unwrap().unwrap().version;
    let Adopted::Yes(_) = ledger.adopt(&sale.id, Nonce(1), Epoch(0)).await.unwrap() else { panic!("adopted") };
    ledger.follow(&sale.id, Nonce(1), version, HoldNo(1)).await.unwrap();
    ledger.follow(&sale.id, Nonce(1), version, HoldNo(1)).await.unwrap();
    ledger.answers(&sale.id, None, 5).await.unwrap();
    let change = Change::Adjust { item: "hat".parse().unwrap(), by: 1 };
    ledger.change(&sale.id, &Key::new("c").unwrap(), &change).await.unwrap().unwrap();
    ledger.sales().await.unwrap();
    ledger.load(std::slice::from_ref(&order.id)).await.unwrap();
    ledger.due(5).await.unwrap();
    ledger.stuck(5).await.unwrap();
    for after in [None, Some(order.id.clone())] {
        ledger.list(&OrderQuery { buyer: ann.clone(), after, limit: 5 }).await.unwrap();
    }
    let rows = ledger.unsent(None, 9).await.unwrap();
    ledger.put(&[rows[0].1.clone()]).await.unwrap();
    ledger.sent(&[rows[0].0]).await.unwrap();
    ledger.history(&format!("{name}~1")).await.unwrap();
    ledger.prune(now, 3).await.unwrap();
    let event = rows[0].1.clone();
    let letter = DeadLetter { consumer: "c".to_owned(), reason: "r".to_owned(), tries: 1, at: now, event };
    ledger.bury(std::slice::from_ref(&letter)).await.unwrap();
    let open = DeadLetter { consumer: "d".to_owned(), ..letter.clone() };
    ledger.bury(&[open]).await.unwrap();
    ledger.letters(4).await.unwrap();
    DeadLetters::settle(ledger, "c", &letter.event.id(), Replay::Replayed).await.unwrap();
    ledger.letter("c", &letter.event.id()).await.unwrap();
    let request = |key: &str, act| WalletRequest::new(&ann, &Key::new(key).unwrap(), act);
    let charge = request("a", WalletAct::Charge { amount: won(900) });
    ledger.wallet(&[charge, request("b", WalletAct::Withdraw { amount: won(1) })]).await.unwrap();
    ledger.balance(&ann).await.unwrap();
    ledger.entries(&ann, None, 4).await.unwrap();
    let key = PaymentKey { order: order.id.clone(), attempt: 1, method: None };
    let charge = Charge { key: key.clone(), buyer: ann.clone(), amount: won(6), until: Timestamp::FAR };
    ledger.pay(&[charge]).await.unwrap();
    ledger.paid(std::slice::from_ref(&key)).await.unwrap();
    ledger.fence(std::slice::from_ref(&key)).await.unwrap();
    let shop = BuyerId::new("shop").unwrap();
    let capture = Capture { key: key.clone(), seller_gets: won(9), funded: won(3) };
    WalletLedger::settle(ledger, &shop, &[capture]).await.unwrap();
    ledger.give_back(&[key]).await.unwrap();
}

/// Tells a ledger of notices to a member, who has none yet: of three, one goes, one is for later, one was never tried.
///
/// # Panics
/// If it does not do what it is told.
pub async fn noticed(ledger: &impl Everything, name: &str) {
    let now = Timestamp::from_ms(5);
    let notices = ["1", "2", "3"].map(|n| sample::notice(&format!("{name}~{n}/3/order.returned"), name, now));
    ledger.keep(&notices).await.unwrap();
    ledger.take(2, Duration::from_secs(9)).await.unwrap();
    let settled = [(notices[0].key.clone(), Settled::Gone), (notices[1].key.clone(), Settled::Later(now))];
    NoticeLedger::settle(ledger, &settled).await.unwrap();
}

/// Gives a text of all that [`told`] left behind, and nothing that is different the next time: tags are left out.
///
/// # Panics
/// If it does not answer.
pub async fn read(ledger: &impl Everything) -> String {
    let mut text = read_before_numbers(ledger).await;
    for sale in ledger.sales().await.unwrap() {
        text.push_str(&format!("{:?}\n", ledger.totals(&sale).await.unwrap().unwrap().line));
    }
    let ann = OrderQuery { buyer: BuyerId::new("ann").unwrap(), after: None, limit: 100 };
    for order in ledger.list(&ann).await.unwrap() {
        text.push_str(&format!("{:?}\n", order.pay_no));
    }
    for member in ["ann", "ann-2", "ann-3"] {
        let wishes = ledger.wishes(&BuyerId::new(member).unwrap(), 100).await.unwrap();
        text.push_str(&format!("{wishes:#?}\n"));
    }
    text
}

/// As [`read`], without wishes, and without the numbers of payment lines.
///
/// # Panics
/// If it does not answer.
pub async fn read_before_numbers(ledger: &impl Everything) -> String {
    let mut text = String::new();
    let mut add = |what: &dyn std::fmt::Debug| text.push_str(&format!("{what:#?}\n"));
    let ann = BuyerId::new("ann").unwrap();
    for sale in ledger.sales().await.unwrap() {
        let totals = ledger.totals(&sale).await.unwrap().unwrap();
        add(&(sale.as_str(), totals.version.v, totals.epoch, totals.door, totals.pay_within, totals.items));
        add(&ledger.answers(&sale, None, 100).await.unwrap());
    }
    let orders = ledger.list(&OrderQuery { buyer: ann.clone(), after: None, limit: 100 }).await.unwrap();
    for order in &orders {
        add(&ledger.history(order.id.as_str()).await.unwrap());
        let key = PaymentKey { order: order.id.clone(), attempt: 1, method: None };
        add(&ledger.paid(&[key]).await.unwrap());
    }
    let plain = |orders: Vec<Arc<Order>>| -> Vec<Order> {
        orders.iter().map(|order| Order { pay_no: None, ..order.as_ref().clone() }).collect()
    };
    add(&plain(orders));
    let (due, now) = ledger.due(100).await.unwrap();
    add(&(plain(due), now));
    add(&plain(ledger.stuck(100).await.unwrap()));
    add(&ledger.campaigns().await.unwrap());
    add(&ledger.coupons_of(&ann, None, 100).await.unwrap());
    for member in ["ann", "shop", "platform"] {
        let member = BuyerId::new(member).unwrap();
        add(&(ledger.balance(&member).await.unwrap(), ledger.entries(&member, None, 100).await.unwrap()));
    }
    add(&ledger.unsent(None, 1_000).await.unwrap());
    add(&ledger.letters(100).await.unwrap());
    text
}
