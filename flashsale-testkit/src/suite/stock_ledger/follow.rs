//! Adopting a gate, and telling it what changed (protocol 1.4, steps 7 and 8; 1.5; holes 2, 3, 19).

use flashsale_core::stock::{Acceptance, Adopted, Epoch, Followed, HoldNo, Nonce, OrderState, StockLedger, Version};

use super::{Ledgers, Open, opened, word};
use crate::sample::{accept, held, item, order, sale, sale_id};

/// Hole 3: the ledger numbers epochs, from 1.
pub async fn the_first_gate_is_epoch_one(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 5, 0, 5)])).await;
    assert_eq!(drop.ledger.totals(&drop.sale).await.expect("totals").expect("a sale").epoch, Epoch(0));
    let load = drop.adopt(7, 0).await;
    assert_eq!((load.nonce, load.epoch), (Nonce(7), Epoch(1)));
    assert_eq!(drop.ledger.totals(&drop.sale).await.expect("totals").expect("a sale").epoch, Epoch(1));
}

/// Protocol 1.5: a lost answer is asked for again; also when the epoch has moved on under it, by itself.
pub async fn the_same_nonce_gets_the_same_epoch(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 5, 0, 5)])).await;
    let first = drop.adopt(7, 0).await;
    assert_eq!(drop.adopt(7, 0).await, first);
    assert_eq!(drop.adopt(7, 1).await, first);
}

/// Hole 3: who read the epoch before another was adopted is too late, and is told which one it is now.
pub async fn a_late_adopter_is_superseded(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 5, 0, 5)])).await;
    drop.adopt(7, 0).await;
    for (nonce, epoch) in [(8, 0), (8, 2), (9, 99)] {
        let answer = drop.ledger.adopt(&drop.sale, Nonce(nonce), Epoch(epoch)).await.expect("adopt");
        assert_eq!(answer, Adopted::Superseded(Epoch(1)));
    }
    assert_eq!(drop.adopt(8, 1).await.epoch, Epoch(2));
    let answer = drop.ledger.adopt(&drop.sale, Nonce(7), Epoch(1)).await.expect("adopt");
    assert_eq!(answer, Adopted::Superseded(Epoch(2)), "the gate before does not come back by itself");
}

/// Hole 3: compare-and-set: two who saw the same epoch at the same moment.
pub async fn of_two_adopters_one_wins(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 5, 0, 5)])).await;
    let answers = crate::together((10..16).map(|nonce| drop.ledger.adopt(&drop.sale, Nonce(nonce), Epoch(0)))).await;
    let won = answers.iter().filter(|answer| matches!(answer, Ok(Adopted::Yes(_)))).count();
    let lost = answers.iter().filter(|answer| matches!(answer, Ok(Adopted::Superseded(Epoch(1))))).count();
    assert_eq!((won, lost), (1, 5));
}

/// Hole 2: from the adopting commit on, no hold of the gate before is accepted.
pub async fn adopting_voids_the_holds_of_the_gate_before(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 5, 0, 5)])).await;
    drop.adopt(7, 0).await;
    drop.take(held(1, 1, accept("ann~1", &[("a", 1)]))).await;
    drop.adopt(8, 1).await;
    assert_eq!(drop.ask(held(1, 2, accept("bob~1", &[("a", 1)]))).await, Acceptance::HoldExpired);
    drop.take(held(2, 1, accept("bob~1", &[("a", 1)]))).await;
}

/// Protocol 1.5, step 3: a new gate begins unsealed; stock did not move, so the version stays.
pub async fn adopting_clears_the_seal_and_is_no_version(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 5, 0, 5)])).await;
    let load = drop.adopt(7, 0).await;
    drop.update(7, load.version, 50).await;
    let before = drop.version().await;
    drop.adopt(8, 1).await;
    assert_eq!(drop.version().await, before);
    drop.take(held(2, 1, accept("ann~1", &[("a", 1)]))).await;
}

/// Protocol 1.5: the load is that of the moment: levels, limits, door, version.
pub async fn adopting_tells_the_levels_of_that_moment(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 5, 0, 3), ("b", 2, 0, 1)])).await;
    drop.take(accept("ann~1", &[("a", 2), ("b", 1)])).await;
    let load = drop.adopt(7, 0).await;
    let mut levels: Vec<_> = load.items.iter().map(|l| (l.item.as_str(), l.free, l.limit.units(), l.waiting)).collect();
    levels.sort_unstable();
    assert_eq!(levels, [("a", 3, 3, false), ("b", 1, 1, false)]);
    assert_eq!(load.version, drop.version().await);
    assert_eq!(load.door, drop.ledger.totals(&drop.sale).await.expect("totals").expect("a sale").door);
    drop.take(held(1, 1, accept("bob~1", &[("a", 1)]))).await;
    let again = drop.adopt(7, 0).await;
    assert_eq!((again.epoch, again.version), (load.epoch, drop.version().await));
    assert!(again.items.iter().any(|level| level.item == item("a") && level.free == 2));
}

/// Step 7: nothing to tell and nothing to seal is `Current`.
pub async fn a_gate_with_everything_is_current(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 5, 0, 5)])).await;
    let load = drop.adopt(7, 0).await;
    assert_eq!(drop.follow(7, load.version, 0).await, Followed::Current);
    drop.take(held(1, 1, accept("ann~1", &[("a", 1)]))).await;
    assert_ne!(drop.follow(7, load.version, 0).await, Followed::Current);
    assert_eq!(drop.follow(7, drop.version().await, 0).await, Followed::Current);
}

/// Step 7b: another gate serves the sale, at whatever version that the ledger told this one stands.
pub async fn another_nonce_is_superseded(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 5, 0, 5)])).await;
    let load = drop.adopt(7, 0).await;
    drop.adopt(8, 1).await;
    assert_eq!(drop.follow(7, load.version, 3).await, Followed::Superseded);
    drop.take(held(2, 1, accept("ann~1", &[("a", 1)]))).await;
    for lapsed in [0, 3] {
        assert_eq!(drop.follow(7, load.version, lapsed).await, Followed::Superseded, "and nothing is sealed for it");
    }
    let none = opened(fixture, &sale("none", &[("a", 5, 0, 5)])).await;
    assert_eq!(none.follow(7, none.version().await, 0).await, Followed::Superseded, "no gate was adopted");
}

/// Hole 19: a number that is known with a tag that is not: another history.
pub async fn an_unknown_tag_is_a_rewound_ledger(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 5, 0, 5)])).await;
    let load = drop.adopt(7, 0).await;
    drop.take(held(1, 1, accept("ann~1", &[("a", 1)]))).await;
    let old = Version { tag: load.version.tag ^ 1, ..load.version };
    assert_eq!(drop.follow(7, old, 0).await, Followed::Rewound);
    let now = drop.version().await;
    assert_eq!(drop.follow(7, Version { tag: now.tag ^ 1, ..now }, 0).await, Followed::Rewound);
    assert_eq!(drop.follow(7, Version { tag: load.version.tag, ..now }, 0).await, Followed::Rewound);
}

/// Hole 19: the gate is ahead of the ledger.
pub async fn an_unknown_number_is_a_rewound_ledger(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 5, 0, 5)])).await;
    let load = drop.adopt(7, 0).await;
    for v in [0, load.version.v + 1, 1_000_000] {
        let answer = drop.follow(7, Version { v, tag: load.version.tag }, 4).await;
        assert_eq!(answer, Followed::Rewound, "version {v}");
    }
    drop.take(held(1, 1, accept("ann~1", &[("a", 1)]))).await;
}

/// Hole 19: so far back that the gate was not adopted yet. Taken for superseded it would sell on, and forget what it knows.
pub async fn a_rewound_ledger_that_knows_another_gate_is_rewound(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 5, 0, 5)])).await;
    drop.adopt(7, 0).await;
    drop.take(held(1, 1, accept("ann~1", &[("a", 1)]))).await;
    let now = drop.version().await;
    for (v, tag) in [(now.v + 1, now.tag), (99, 1), (now.v, now.tag ^ 1), (now.v - 1, now.tag)] {
        for lapsed in [0, 3] {
            let answer = drop.follow(8, Version { v, tag }, lapsed).await;
            assert_eq!(answer, Followed::Rewound, "version {v}");
        }
    }
}

/// Hole 19: so far back that the sale itself is gone.
pub async fn a_sale_that_is_gone_is_a_rewound_ledger(fixture: &impl Ledgers) {
    let none = Open { ledger: fixture.fresh().await, sale: sale_id("none") };
    assert_eq!(none.follow(7, Version { v: 1, tag: 1 }, 0).await, Followed::Rewound);
}

/// Step 7b: from any version that was, everything since, absolutely; orders before it are not listed.
pub async fn follow_tells_everything_since_a_version(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 9, 0, 9), ("b", 9, 0, 9)])).await;
    let mut at = vec![drop.adopt(7, 0).await.version];
    for n in 1..=3 {
        drop.take(held(1, n, accept(&format!("b{n}~1"), &[("a", n), ("b", 1)]))).await;
        at.push(drop.version().await);
    }
    for (n, from) in at.iter().enumerate().take(3) {
        let update = drop.update(7, *from, 0).await;
        assert_eq!((update.nonce, update.from, update.to), (Some(Nonce(7)), *from, at[3]));
        let mut listed: Vec<String> = update.orders.iter().map(|order| order.id.to_string()).collect();
        listed.sort_unstable();
        let since: Vec<String> = (n + 1..=3).map(|n| format!("b{n}~1")).collect();
        assert_eq!(listed, since);
        for (name, free) in [("a", 3), ("b", 6)] {
            let level = update.items.iter().find(|level| level.item == item(name)).expect("a level that changed");
            assert_eq!(level.free, free);
        }
        for n in n + 1..=3 {
            let his = |b: &&flashsale_core::stock::Bought| b.buyer.as_str() == format!("b{n}");
            let mut has: Vec<_> = update.bought.iter().filter(his).map(|b| (b.item.as_str(), b.units)).collect();
            has.sort_unstable();
            assert_eq!(has, [("a", n as u32), ("b", 1)]);
        }
    }
}

/// Hole 5: each order once, in its state of now, at the version of its last change of units.
pub async fn follow_tells_each_order_as_it_is_now(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 9, 0, 9)])).await;
    let load = drop.adopt(7, 0).await;
    drop.take(held(1, 1, accept("ann~1", &[("a", 2)]))).await;
    drop.decide(held(1, 2, accept("bob~1", &[("a", 8)]))).await;
    drop.cancel("ann~1").await;
    let update = drop.update(7, load.version, 0).await;
    let mut orders: Vec<_> = update.orders.iter().map(|o| (o.id.clone(), o.state, o.v - load.version.v)).collect();
    orders.sort_unstable();
    assert_eq!(orders, [(order("ann~1"), OrderState::Cancelled, 3), (order("bob~1"), OrderState::Refused, 2)]);
    assert!(update.items.iter().any(|level| level.free == 9));
    assert!(update.bought.iter().all(|bought| bought.units == 0));
}

/// Step 8: sealing is told in the answer; no stock moved, so the version stays.
pub async fn sealing_is_told_and_is_no_version(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 5, 0, 5)])).await;
    let load = drop.adopt(7, 0).await;
    let update = drop.update(7, load.version, 4).await;
    assert_eq!((update.sealed, update.from, update.to), (HoldNo(4), load.version, load.version));
    assert_eq!(drop.version().await, load.version);
    let later = drop.batch(&[held(1, 5, accept("ann~1", &[("a", 1)]))]).await.update.expect("an update");
    assert_eq!(later.sealed, HoldNo(4), "every update carries it");
}

/// Step 7b: `sealed = max(sealed, t)`: a slow follower opens nothing again.
pub async fn a_seal_only_grows(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 5, 0, 5)])).await;
    let load = drop.adopt(7, 0).await;
    drop.update(7, load.version, 6).await;
    assert_eq!(drop.update(7, load.version, 2).await.sealed, HoldNo(6));
    assert_eq!(drop.ask(held(1, 5, accept("ann~1", &[("a", 1)]))).await, Acceptance::HoldExpired);
}

/// G5: the gate never saw the answer; it names the lapsed holds again and must be told, or they hold units for ever.
pub async fn a_seal_whose_answer_was_lost_is_told_again(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 5, 0, 5)])).await;
    let load = drop.adopt(7, 0).await;
    let lost = drop.update(7, load.version, 3).await;
    let again = drop.update(7, load.version, 3).await;
    assert_eq!((again.sealed, again.from, again.to), (lost.sealed, lost.from, lost.to));
}

/// G5, step 8: a hold ends accepted or sealed: what was accepted before the seal stays, what comes after is void.
pub async fn sealed_holds_are_refused_and_later_ones_are_not(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 9, 0, 9)])).await;
    let load = drop.adopt(7, 0).await;
    drop.take(held(1, 2, accept("ann~1", &[("a", 1)]))).await;
    let update = drop.update(7, load.version, 3).await;
    assert_eq!((update.sealed, update.orders.len()), (HoldNo(3), 1));
    let batch = [
        held(1, 1, accept("bob~1", &[("a", 1)])),
        held(1, 2, accept("ann~1", &[("a", 1)])),
        held(1, 3, accept("cid~1", &[("a", 1)])),
        held(1, 4, accept("dan~1", &[("a", 1)])),
    ];
    let answers = drop.batch(&batch).await.answers;
    let said: Vec<&str> = answers.iter().map(word).collect();
    assert_eq!(said, ["hold_expired", "already", "hold_expired", "accepted"]);
    assert_eq!(drop.allocated("a").await, 2);
}

/// Protocol 1.5, step 4: pages of all decided orders, each once, none of another sale.
pub async fn answers_are_paged_in_order_of_id(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 4, 0, 9)])).await;
    drop.ledger.open(&sale("other", &[("a", 9, 0, 9)])).await.expect("open").expect("new");
    for n in [4, 1, 3, 0, 2, 6, 5] {
        drop.decide(accept(&format!("b{n}~1"), &[("a", 1)])).await;
    }
    let other = Open { ledger: drop.ledger, sale: sale_id("other") };
    other.take(accept("b3~x", &[("a", 1)])).await;
    let drop = Open { ledger: other.ledger, sale: drop.sale };
    let (mut seen, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = drop.ledger.answers(&drop.sale, after.as_ref(), 3).await.expect("answers");
        assert!(page.orders.len() <= 3);
        seen.extend(page.orders.iter().map(|settled| settled.id.to_string()));
        pages += 1;
        after = page.next;
        if after.is_none() || pages > 9 {
            break;
        }
    }
    let all: Vec<String> = (0..7).map(|n| format!("b{n}~1")).collect();
    assert_eq!(seen, all);
    let none = drop.ledger.answers(&sale_id("none"), None, 3).await.expect("answers");
    assert_eq!((none.orders.len(), none.next), (0, None));
}

/// Protocol 1.5, step 4: with each page, what the buyers of its orders have, and at which version.
pub async fn answers_tell_what_buyers_have_now(fixture: &impl Ledgers) {
    let drop = opened(fixture, &sale("drop", &[("a", 9, 0, 9), ("b", 9, 0, 9)])).await;
    drop.take(accept("ann~1", &[("a", 2), ("b", 1)])).await;
    drop.take(accept("ann~2", &[("a", 1)])).await;
    drop.take(accept("bob~1", &[("a", 4)])).await;
    drop.cancel("bob~1").await;
    let page = drop.ledger.answers(&drop.sale, None, 10).await.expect("answers");
    let has = |who: &str, what: &str| {
        let rows = page.bought.iter().filter(|b| b.buyer.as_str() == who && b.item == item(what));
        rows.map(|b| b.units).collect::<Vec<_>>()
    };
    assert_eq!((has("ann", "a"), has("ann", "b")), (vec![3], vec![1]));
    assert!(matches!(has("bob", "a")[..], [] | [0]));
    let now = drop.version().await.v;
    assert!(page.bought.iter().all(|bought| bought.v <= now));
    let states: Vec<OrderState> = page.orders.iter().map(|settled| settled.state).collect();
    assert_eq!(states, [OrderState::Accepted, OrderState::Accepted, OrderState::Cancelled]);
}
