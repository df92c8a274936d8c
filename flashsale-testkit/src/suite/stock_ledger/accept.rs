//! Accepting: decided once, in order of arrival, all lines or none (G1, G2, G7; protocol 1.3).

use flashsale_core::stock::{
    Accept, Acceptance, Amounts, Durability, HoldNo, Nonce, OrderState, StockLedger, Then, Version,
};

use super::{Ledgers, Open, opened, word, words};
use crate::sample::{PAY_WITHIN, accept, amount, hash, held, item, lines, order, sale, sale_id};

/// G1: `allocated` grows by the units of the order.
pub async fn an_accepted_order_takes_its_units(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 5, 0, 5), ("b", 5, 0, 5)])).await;
    drop.take(accept("ann~1", &[("a", 2), ("b", 1)])).await;
    drop.take(accept("bob~1", &[("a", 3)])).await;
    assert_eq!((drop.allocated("a").await, drop.allocated("b").await), (5, 1));
    assert_eq!(drop.state("ann~1").await, Some(OrderState::Accepted));
}

/// G2: the answer carries the row that was written.
pub async fn an_accepted_order_tells_all_that_was_decided(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 5, 300, 5), ("b", 5, 50, 5)])).await;
    let before = drop.ledger.totals(&drop.sale).await.expect("totals").expect("a sale");
    let order = drop.take(accept("ann~1", &[("a", 2), ("b", 1)])).await;
    assert_eq!((order.id.as_str(), &order.sale, order.hash), ("ann~1", &drop.sale, hash(&[("a", 2), ("b", 1)])));
    assert_eq!((order.state, order.reason, order.ver), (OrderState::Accepted, None, 1));
    assert_eq!(order.v, before.version.v + 1);
    assert_eq!(order.lines, lines(&[("a", 2), ("b", 1)]));
    assert_eq!(order.amounts, Amounts { list: amount(650), discount: amount(0), pays: amount(650) });
    assert!(order.decided_at >= before.now && order.since == order.decided_at);
    assert_eq!(order.pay_by, Some(order.decided_at.after(PAY_WITHIN)));
    assert_eq!(order.due_at, order.pay_by);
}

/// G7: a repeat gets the row of the first decision, and takes nothing.
pub async fn the_same_id_again_is_already_decided(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 5, 0, 5)])).await;
    let first = drop.take(accept("ann~1", &[("a", 2)])).await;
    assert_eq!(drop.ask(accept("ann~1", &[("a", 2)])).await, Acceptance::Already(first));
    assert_eq!(drop.allocated("a").await, 2);
}

/// Hole 13: a client's retry in the same batch.
pub async fn the_same_id_twice_in_one_batch_is_one_order(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 5, 0, 5)])).await;
    let twice = [accept("ann~1", &[("a", 2)]), accept("ann~1", &[("a", 2)]), accept("ann~1", &[("a", 1)])];
    let accepted = drop.batch(&twice).await;
    assert_eq!(words(&accepted.answers), ["accepted", "already", "conflict"]);
    assert_eq!(drop.allocated("a").await, 2);
    assert_eq!(accepted.update.expect("an update").orders.len(), 1);
}

/// G7: the same id with other content is a conflict of its own; the row stays.
pub async fn other_content_under_the_same_id_is_a_conflict(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 5, 0, 5)])).await;
    let first = drop.take(accept("ann~1", &[("a", 2)])).await;
    let before = drop.version().await;
    assert_eq!(drop.ask(accept("ann~1", &[("a", 1)])).await, Acceptance::Conflict);
    assert_eq!((drop.allocated("a").await, drop.version().await), (2, before));
    assert_eq!(drop.ask(accept("ann~1", &[("a", 2)])).await, Acceptance::Already(first));
}

/// Hole 16: ids are per buyer and unique over all sales; a row of another sale is found, not shadowed.
pub async fn an_id_is_unique_over_all_sales(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 5, 0, 5)])).await;
    drop.ledger.open(&sale("other", &[("a", 5, 0, 5)])).await.expect("open").expect("new");
    let first = drop.take(accept("ann~1", &[("a", 2)])).await;
    let other = Open { ledger: drop.ledger, sale: sale_id("other") };
    assert_eq!(other.ask(accept("ann~1", &[("a", 2)])).await, Acceptance::Already(first));
    assert_eq!(other.ask(accept("ann~1", &[("a", 1)])).await, Acceptance::Conflict);
    assert_eq!(other.allocated("a").await, 0);
    assert_eq!(other.state("ann~1").await, None);
}

/// `ann` is not `Ann`: not as a buyer, not as a key, not as an item.
pub async fn ids_are_compared_byte_by_byte(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 9, 0, 1), ("A", 9, 0, 1)])).await;
    drop.take(accept("ann~k", &[("a", 1)])).await;
    drop.take(accept("Ann~k", &[("a", 1)])).await;
    drop.take(accept("ann~K", &[("A", 1)])).await;
    assert_eq!((drop.allocated("a").await, drop.allocated("A").await), (2, 1));
}

/// Hole 11: of a batch that asks for more than there is, the first are accepted and the others refused; no false sold out.
pub async fn a_batch_is_accepted_up_to_the_last_unit(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 7, 0, 5)])).await;
    let batch: Vec<Accept> = (0..10).map(|n| accept(&format!("b{n}~1"), &[("a", 1)])).collect();
    let answers = drop.batch(&batch).await.answers;
    for (n, answer) in answers.iter().enumerate() {
        assert_eq!(word(answer), if n < 7 { "accepted" } else { "refused" }, "order {n}");
    }
    assert_eq!(drop.allocated("a").await, 7);
}

/// Hole 11: two items, one of them short: neither is taken.
pub async fn all_lines_are_taken_or_none(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 5, 0, 5), ("b", 1, 0, 5)])).await;
    drop.refusal(accept("ann~1", &[("a", 1), ("b", 2)])).await;
    drop.refusal(accept("ann~2", &[("b", 2), ("a", 1)])).await;
    assert_eq!((drop.allocated("a").await, drop.allocated("b").await), (0, 0));
    drop.take(accept("ann~3", &[("b", 1), ("a", 2)])).await;
    assert_eq!((drop.allocated("a").await, drop.allocated("b").await), (2, 1));
}

/// Hole 21: a larger request that fails leaves the rest for a smaller one behind it.
pub async fn who_asks_for_less_may_win_what_is_left(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 3, 0, 5)])).await;
    let batch = [accept("b1~1", &[("a", 2)]), accept("b2~1", &[("a", 2)]), accept("b3~1", &[("a", 1)])];
    assert_eq!(words(&drop.batch(&batch).await.answers), ["accepted", "refused", "accepted"]);
    assert_eq!(drop.allocated("a").await, 3);
}

/// Protocol 1.3: running totals make a batch answer exactly as the same requests one by one.
pub async fn a_batch_answers_as_its_requests_would_one_by_one(fixture: &impl Ledgers) {
    let terms = sale("drop", &[("a", 4, 10, 2), ("b", 2, 5, 2)]);
    let batch = [
        accept("b1~1", &[("a", 1), ("b", 1)]),
        accept("b1~2", &[("a", 2)]),
        accept("b2~1", &[("a", 2)]),
        accept("b1~1", &[("a", 1), ("b", 1)]),
        Accept { expect: Some(amount(1)), ..accept("b3~1", &[("a", 1)]) },
        accept("b4~1", &[("b", 2)]),
        accept("b5~1", &[("b", 1), ("a", 1)]),
        accept("b6~1", &[("a", 1)]),
        accept("b2~1", &[("a", 1)]),
        accept("b7~1", &[("nothing", 1)]),
    ];
    let at_once = opened(fixture, &terms).await;
    let one_by_one = opened(fixture, &terms).await;
    let together = words(&at_once.batch(&batch).await.answers);
    let mut apart = Vec::new();
    for request in batch {
        apart.push(word(&one_by_one.ask(request).await));
    }
    assert_eq!(together, apart);
    let expected = [
        "accepted",
        "refused",
        "accepted",
        "already",
        "refused",
        "refused",
        "accepted",
        "refused",
        "conflict",
        "unknown_item",
    ];
    assert_eq!(together, expected);
    for name in ["a", "b"] {
        assert_eq!(at_once.allocated(name).await, one_by_one.allocated(name).await);
    }
}

/// G1: hundreds of orders over several items, many of them refused, in one step.
pub async fn a_large_batch_over_several_items_adds_up(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 100, 1, 3), ("b", 70, 1, 3), ("c", 1_000, 1, 3)])).await;
    let batch: Vec<Accept> = (0..300)
        .map(|n| {
            let (a, b) = (1 + n % 2, 1 + n % 3);
            let id = format!("b{}~{n}", n % 150);
            match n % 3 {
                0 => accept(&id, &[("a", a)]),
                1 => accept(&id, &[("b", b), ("c", 1)]),
                _ => accept(&id, &[("c", 1), ("a", 1), ("b", 1)]),
            }
        })
        .collect();
    let answers = drop.batch(&batch).await.answers;
    let (mut taken, mut won) = ([0, 0, 0], 0);
    for answer in &answers {
        let Acceptance::Decided(order) = answer else { panic!("{answer:?}") };
        if order.state == OrderState::Accepted {
            won += 1;
            for line in order.lines.iter() {
                let place = ["a", "b", "c"].iter().position(|name| *name == line.item.as_str()).expect("an item");
                taken[place] += line.units.units();
            }
        }
    }
    assert!(won > 0 && won < answers.len(), "{won} of {} won", answers.len());
    assert_eq!([drop.allocated("a").await, drop.allocated("b").await, drop.allocated("c").await], taken);
    assert!(taken[0] <= 100 && taken[1] <= 70);
}

/// An empty batch has no answers and is no version.
pub async fn an_empty_batch_changes_nothing(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 5, 0, 5)])).await;
    let before = drop.version().await;
    let accepted = drop.batch(&[]).await;
    assert_eq!((accepted.answers.len(), accepted.update), (0, None));
    assert_eq!(drop.version().await, before);
}

/// G1: requests at the same moment, each in a transaction of its own.
pub async fn at_once_the_last_unit_is_sold_once(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 3, 0, 5)])).await;
    let asks = futures(12, |n| drop.ask(accept(&format!("b{n}~1"), &[("a", 1)]))).await;
    assert_eq!(asks.iter().filter(|answer| word(answer) == "accepted").count(), 3);
    assert_eq!(asks.iter().filter(|answer| word(answer) == "refused").count(), 9);
    assert_eq!(drop.allocated("a").await, 3);
}

/// G3, hole 10: the limit has a row to collide on, also between two transactions.
pub async fn at_once_a_buyer_stays_within_his_limit(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 50, 0, 2)])).await;
    let asks = futures(8, |n| drop.ask(accept(&format!("ann~{n}"), &[("a", 1)]))).await;
    assert_eq!(asks.iter().filter(|answer| word(answer) == "accepted").count(), 2);
    assert_eq!(drop.allocated("a").await, 2);
}

/// Runs so many futures at once.
async fn futures<T, F: Future<Output = T>>(n: usize, each: impl Fn(usize) -> F) -> Vec<T> {
    crate::together((0..n).map(each)).await
}

/// Protocol 1.4, step 2: epoch and number of the hold are checked, and written down with the order.
pub async fn a_held_order_is_accepted_by_the_gate_that_holds_it(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 5, 0, 5)])).await;
    let load = drop.adopt(7, 0).await;
    let order = drop.take(held(load.epoch.0, 3, accept("ann~1", &[("a", 1)]))).await;
    assert_eq!(order.hold, Some((load.epoch, HoldNo(3))));
}

/// An order that the embedder pays by his own means wants no attention.
pub async fn an_order_to_keep_has_no_deadline(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 5, 0, 5)])).await;
    let order = drop.take(Accept { then: Then::Keep, ..accept("ann~1", &[("a", 1)]) }).await;
    assert_eq!((order.state, order.pay_by, order.due_at), (OrderState::Accepted, None, None));
}

/// Protocol 1.4, step 4: what the transaction returns is what a gate at the version before lacks, absolutely.
pub async fn the_update_tells_what_changed(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 9, 0, 5), ("b", 9, 0, 5)])).await;
    drop.adopt(7, 0).await;
    drop.take(held(1, 1, accept("ann~1", &[("a", 1)]))).await;
    let from = drop.version().await;
    let batch = [held(1, 2, accept("ann~2", &[("a", 2)])), held(1, 3, accept("bob~1", &[("a", 1)]))];
    let update = drop.batch(&batch).await.update.expect("an update");
    assert_eq!((update.nonce, update.from, update.to), (Some(Nonce(7)), from, drop.version().await));
    assert_eq!(update.to.v, from.v + 1);
    assert_eq!(update.sealed, HoldNo(0));
    let levels: Vec<(&str, u32)> = update.items.iter().map(|level| (level.item.as_str(), level.free)).collect();
    assert!(levels.contains(&("a", 5)), "{levels:?}");
    assert!(levels.iter().all(|(name, free)| *name == "a" || *free == 9), "figures are absolute: {levels:?}");
    let mut orders: Vec<_> = update.orders.iter().map(|o| (o.id.as_str(), o.hash, o.state, o.v)).collect();
    orders.sort_unstable_by_key(|order| order.0);
    assert_eq!(
        orders,
        [
            ("ann~2", hash(&[("a", 2)]), OrderState::Accepted, update.to.v),
            ("bob~1", hash(&[("a", 1)]), OrderState::Accepted, update.to.v),
        ]
    );
    let mut bought: Vec<_> = update.bought.iter().map(|b| (b.buyer.as_str(), b.item.as_str(), b.units)).collect();
    bought.sort_unstable();
    assert_eq!(bought, [("ann", "a", 3), ("bob", "a", 1)]);
}

/// Hole 17: the gate is told refusals, too, so that it answers repeats; they change no level.
pub async fn the_update_lists_refused_orders_and_no_item(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 1, 0, 5)])).await;
    let update = drop.batch(&[accept("ann~1", &[("a", 2)])]).await.update.expect("an update");
    assert_eq!(update.orders.len(), 1);
    assert_eq!((&update.orders[0].id, update.orders[0].state), (&order("ann~1"), OrderState::Refused));
    assert!(update.items.iter().all(|level| level.free == 1), "nothing changed");
    assert!(update.bought.iter().all(|bought| bought.units == 0), "nothing was bought");
}

/// I4: versions have no gap, each has a tag of its own, and a batch that records nothing is none.
pub async fn every_batch_that_records_is_one_version(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 2, 0, 5)])).await;
    let mut versions = vec![drop.version().await];
    assert_eq!(versions[0].v, 1);
    for (id, n) in [("ann~1", 1), ("bob~1", 1), ("cid~1", 1)] {
        drop.decide(accept(id, &[("a", n)])).await;
        versions.push(drop.version().await);
        let nothing =
            drop.batch(&[accept(id, &[("a", n)]), accept(id, &[("a", 2)]), accept("x~1", &[("none", 1)])]).await;
        assert_eq!(nothing.update, None);
        assert_eq!(drop.version().await, *versions.last().expect("a version"));
    }
    let numbers: Vec<u64> = versions.iter().map(|version: &Version| version.v).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
    let mut tags: Vec<u64> = versions.iter().map(|version| version.tag).collect();
    tags.sort_unstable();
    tags.dedup();
    assert_eq!(tags.len(), 4, "tags differ");
    assert_eq!(drop.row("a").await.item, item("a"));
}

/// G2: what was accepted is there after a stop without warning, if the ledger says that it survives one.
pub async fn a_durable_ledger_keeps_what_it_accepted(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 5, 7, 5)])).await;
    drop.adopt(7, 0).await;
    let order = drop.take(held(1, 1, accept("ann~1", &[("a", 2)]))).await;
    let version = drop.version().await;
    if drop.ledger.durability() == Durability::Volatile {
        println!("not run: this ledger is volatile and says so");
        return;
    }
    let ledger = fixture.restart(drop.ledger).await.expect("a durable ledger can be restarted");
    let drop = Open { ledger, sale: drop.sale };
    assert_eq!(drop.version().await, version);
    assert_eq!(drop.allocated("a").await, 2);
    assert_eq!(drop.ask(held(1, 1, accept("ann~1", &[("a", 2)]))).await, Acceptance::Already(order));
    drop.take(held(1, 2, accept("ann~2", &[("a", 1)]))).await;
}
