//! How SQLite runs our statements: each finds its rows by a key. Told by the database itself, with EXPLAIN QUERY PLAN.

use std::time::Duration;

use flashsale_core::coupon::{At, Campaign, CouponLedger};
use flashsale_core::event::{DeadLetter, DeadLetters, Outbox, Replay};
use flashsale_core::id::ContentHash;
use flashsale_core::order::{Input, OrderLedger, OrderQuery, Policy, Reason, Verdict, step};
use flashsale_core::payment::{Capture, Charge, PaymentKey, WalletAct, WalletLedger, WalletRequest};
use flashsale_core::sale::Lines;
use flashsale_core::stock::{Accept, Acceptance, Adopted, Cancel, Change, Epoch, HoldNo, Nonce, StockLedger, Then};
use flashsale_core::unit::Quantity;
use flashsale_core::{BuyerId, Item, Key, ManualClock, Method, OrderId, Sale, Timestamp, won};

use crate::SqliteLedger;

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
    }
}

/// Sends every statement that there is at least once.
async fn everything(ledger: &SqliteLedger) {
    let pay = || Then::Pay { within: Duration::from_secs(1) };
    let hat = Item::named("hat").unwrap().units(2).unwrap().price(won(9)).per_buyer(2).unwrap();
    let sale = Sale::named("drop").unwrap().item(hat);
    ledger.open(&sale).await.unwrap().unwrap();
    let campaign = Campaign::named("plant").unwrap().takes_off(won(3));
    ledger.campaigns_put(std::slice::from_ref(&campaign)).await.unwrap();
    ledger.campaigns().await.unwrap();
    ledger.campaign(&campaign.id).await.unwrap();
    let now = Timestamp::from_ms(5);
    let At::Open(opening) = campaign.at(now) else { panic!("it is open") };
    let claims = campaign.sale(&opening).unwrap();
    ledger.open(&claims).await.unwrap().unwrap();
    let ann = BuyerId::new("ann").unwrap();
    let coupon = campaign.coupon(&opening, &ann, now).unwrap();
    ledger.accept(&claims.id, &[accept("ann~plant~k", Then::Issue(Box::new(coupon.clone())))]).await.unwrap();
    ledger.coupons_of(&ann, None, 3).await.unwrap();
    let with_coupon = Accept { coupon: Some(coupon.id.clone()), ..accept("ann~1", pay()) };
    let answer = ledger.accept(&sale.id, &[with_coupon, accept("ann~2", pay())]).await.unwrap();
    let Acceptance::Decided(order) = &answer.answers[0] else { panic!("decided") };
    let Verdict::Move(append) = step(Some(order), &Input::BuyerCancels, now, &Policy::default()) else {
        panic!("moves")
    };
    ledger.append(&sale.id, &[*append]).await.unwrap();
    let cancel = |id: &str| Cancel { id: OrderId::new(id).unwrap(), reason: Reason::Operator };
    ledger.cancel(&sale.id, &[cancel("ann~2"), cancel("ann~3")]).await.unwrap();
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
    ledger.history("ann~1").await.unwrap();
    ledger.prune(now, 3).await.unwrap();
    let event = rows[0].1.clone();
    let letter = DeadLetter { consumer: "c".to_owned(), reason: "r".to_owned(), tries: 1, at: now, event };
    ledger.bury(std::slice::from_ref(&letter)).await.unwrap();
    ledger.letters(4).await.unwrap();
    DeadLetters::settle(ledger, "c", &letter.event.id(), Replay::Replayed).await.unwrap();
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

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn every_statement_finds_its_rows_by_a_key() {
    let place = tempfile::tempdir().unwrap();
    let ledger = SqliteLedger::open(place.path().join("ledger.db")).await.unwrap();
    let ledger = ledger.with_clock(ManualClock::starting(Timestamp::from_ms(5)));
    everything(&ledger).await;
    let plans = ledger.plans().await;
    assert!(plans.len() > 60, "only {} statements were sent", plans.len());
    // What is read whole: lists of a few rows, and the front of the outbox, bounded by the limit.
    let whole = ["SELECT id FROM sale", "SELECT terms FROM campaign ORDER", "DELETE FROM outbox"];
    let tables = ["sale", "item", "orders", "line", "outbox", "coupon", "wallet", "payment", "dead_letter", "change"];
    for (text, plan) in &plans {
        for step in plan.iter().filter(|_| !whole.iter().any(|start| text.starts_with(start))) {
            let scanned = step.strip_prefix("SCAN ").and_then(|rest| rest.split(' ').next()).unwrap_or_default();
            // A partial index holds nothing but what is asked for.
            if step.ends_with("USING INDEX orders_stuck") || step.ends_with("USING INDEX dead_letter_open") {
                continue;
            }
            assert!(!tables.iter().any(|table| scanned.starts_with(table)) && scanned != "o", "{step}\n{text}");
        }
    }
    // Where more than one key would do, it is the right one.
    for (start, key) in [
        ("SELECT b.value, o.lines FROM", "SEARCH o USING INDEX sqlite_autoindex_orders_1 (id>? AND id<?)"),
        (
            "SELECT id, hash, state, v, \"lines\" FROM orders WHERE id >",
            "SEARCH orders USING INDEX sqlite_autoindex_orders_1 (id>?)",
        ),
        ("SELECT id, hash, state, v, \"lines\" FROM orders WHERE sale", "orders_version (sale=? AND v>?)"),
        ("SELECT no, subject, version, sale, at, fact FROM outbox WHERE sent", "outbox_unsent (sent=? AND rowid>?)"),
        ("UPDATE orders", "SEARCH orders USING INDEX sqlite_autoindex_orders_1 (id=?)"),
        ("UPDATE line", "SEARCH line USING PRIMARY KEY (sale=? AND v=? AND order_id=? AND item=?)"),
    ] {
        let mut found = plans.iter().filter(|(text, _)| text.starts_with(start)).peekable();
        assert!(found.peek().is_some(), "no statement starts so: {start}");
        for (text, plan) in found {
            assert!(plan.iter().any(|step| step.contains(key)), "{plan:?}\n{text}");
        }
    }
}
