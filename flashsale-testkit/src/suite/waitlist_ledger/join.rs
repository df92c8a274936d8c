//! Joining: at the end, once, only for what cannot be bought; and the flag.

use std::time::Duration;

use flashsale_core::Fact;
use flashsale_core::sale::{SaleState, Window};
use flashsale_core::stock::{Change, Reason, StockLedger};
use flashsale_core::waitlist::{JoinRefusal, Joined, WaitlistLedger, Wish, WishState};

use super::{Waitlists, join, level, sold_out, terms};
use crate::sample::{accept, buyer, item, key, sale_id, units};
use crate::suite::stock_ledger::opened;
use crate::suite::together;

/// Numbers are given in order of joining, within a batch and over batches.
pub async fn a_wish_joins_at_the_end_of_the_line(fixture: &impl Waitlists) {
    let drop = sold_out(fixture, 1).await;
    let ann = drop.wish("ann", 2).await;
    let (rest, _) = drop.joins(&[join("bob", 1), join("cid", 1)]).await;
    assert_eq!((ann.number, ann.turn, ann.state, ann.units), (1, 1, WishState::Waiting, units(2)));
    assert_eq!(ann.offer, Wish::name(&drop.sale, &item("left"), &buyer("ann"), 1));
    let numbers: Vec<u64> = rest
        .iter()
        .map(|joined| match joined {
            Joined::Done(wish) => wish.number,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(numbers, [2, 3]);
    let line: Vec<Wish> = drop.front(9).await.waiters.into_iter().map(|waiter| waiter.wish).collect();
    assert_eq!(line.first(), Some(&ann));
}

/// The flag is set at a new version, and the update tells the gate.
pub async fn the_first_wish_closes_the_item_to_the_public(fixture: &impl Waitlists) {
    let drop = sold_out(fixture, 1).await;
    let before = drop.version().await;
    let (_, update) = drop.joins(&[join("ann", 1)]).await;
    let update = update.expect("an update");
    assert_eq!((update.from, update.to.v), (before, before.v + 1));
    assert_eq!(update.to, drop.version().await);
    assert_eq!(level(&update, &item("left")), Some((0, true)));
    assert!(drop.waits("left").await && !drop.waits("right").await);
}

/// Only the first of a line changes what the gate must know.
pub async fn a_second_wish_is_no_version(fixture: &impl Waitlists) {
    let drop = sold_out(fixture, 1).await;
    drop.wish("ann", 1).await;
    let before = drop.version().await;
    assert_eq!(drop.joins(&[join("bob", 1), join("cid", 3)]).await.1, None);
    assert_eq!(drop.version().await, before);
}

/// Whatever is repeated, by whatever tab, is the same wish.
pub async fn a_member_has_one_open_wish_for_an_item(fixture: &impl Waitlists) {
    let drop = sold_out(fixture, 1).await;
    let ann = drop.wish("ann", 1).await;
    let (again, update) = drop.joins(&[join("ann", 1), join("bob", 1), join("ann", 3), join("bob", 1)]).await;
    assert_eq!((&again[0], &again[2], update), (&Joined::Already(ann.clone()), &Joined::Already(ann.clone()), None));
    let Joined::Done(bob) = &again[1] else { panic!("{again:?}") };
    assert_eq!(again[3], Joined::Already(bob.clone()));
    // An offered wish is open as well.
    drop.units_return(0..1).await;
    drop.offered(&ann).await;
    let (still, _) = drop.joins(&[join("ann", 1)]).await;
    assert!(matches!(&still[0], Joined::Already(wish) if wish.offer == ann.offer && wish.state == WishState::Offered));
}

/// Who can buy is told so.
pub async fn units_that_anybody_can_buy_are_not_waited_for(fixture: &impl Waitlists) {
    let drop = opened(fixture, &terms(2, 5)).await;
    let before = drop.version().await;
    assert_eq!(drop.refused(join("ann", 2)).await, JoinRefusal::StillAvailable { item: item("left") });
    assert_eq!(drop.version().await, before);
    assert_eq!(drop.place_of("ann").await, None);
}

/// One is left, two are wanted; and then whoever comes waits behind, also for one.
pub async fn fewer_units_than_wanted_are_waited_for(fixture: &impl Waitlists) {
    let drop = opened(fixture, &terms(1, 5)).await;
    let (joined, update) = drop.joins(&[join("ann", 2), join("bob", 1)]).await;
    assert!(joined.iter().all(|joined| matches!(joined, Joined::Done(_))), "{joined:?}");
    assert_eq!(level(&update.expect("an update"), &item("left")), Some((1, true)));
}

/// What he has counts, and what he wants.
pub async fn a_wish_above_the_limit_is_refused(fixture: &impl Waitlists) {
    let drop = opened(fixture, &terms(2, 5)).await;
    drop.take(accept("ann~k", &[("left", 2)])).await;
    let limit = |have| JoinRefusal::Limit { item: item("left"), have, limit: 3 };
    assert_eq!(drop.refused(join("ann", 2)).await, limit(2));
    assert_eq!(drop.refused(join("bob", 4)).await, limit(0));
    drop.wish("ann", 1).await;
}

/// Nothing will be offered: neither after closing nor after the window.
pub async fn a_sale_that_is_over_has_no_waitlist(fixture: &impl Waitlists) {
    let drop = sold_out(fixture, 1).await;
    let now = drop.front(1).await.now;
    let window = Window { opens_at: now, closes_at: now.after(Duration::from_millis(50)) };
    drop.ledger.change(&drop.sale, &key("c1"), &Change::Window(window)).await.expect("change").expect("changed");
    fixture.advance(Duration::from_millis(60)).await;
    assert_eq!(drop.refused(join("ann", 1)).await, JoinRefusal::Closed);
    drop.ledger.change(&drop.sale, &key("c2"), &Change::Window(Window::ALWAYS)).await.expect("change").expect("done");
    drop.wish("ann", 1).await;
    let close = Change::State(SaleState::Closed);
    drop.ledger.change(&drop.sale, &key("c3"), &close).await.expect("change").expect("done");
    assert_eq!(drop.refused(join("bob", 1)).await, JoinRefusal::Closed);
}

/// Neither an unknown item nor an unknown sale.
pub async fn what_is_not_there_is_not_waited_for(fixture: &impl Waitlists) {
    let drop = sold_out(fixture, 1).await;
    let ask = flashsale_core::waitlist::Join { item: item("nothing"), ..join("ann", 1) };
    assert_eq!(drop.refused(ask).await, JoinRefusal::UnknownItem(item("nothing")));
    let (answers, update) = drop.ledger.join(&sale_id("nowhere"), &[join("ann", 1)]).await.expect("join");
    assert_eq!((answers, update), (vec![Joined::Refused(JoinRefusal::UnknownSale)], None));
}

/// A place that was given up is not given back; the offer of another turn has another name.
pub async fn who_left_joins_again_at_the_end_under_another_name(fixture: &impl Waitlists) {
    let drop = sold_out(fixture, 1).await;
    let (first, bob) = (drop.wish("ann", 1).await, drop.wish("bob", 1).await);
    drop.leaves(&[&first]).await;
    let second = drop.wish("ann", 1).await;
    assert_eq!((second.turn, second.number), (2, bob.number + 1));
    assert_ne!(second.offer, first.offer);
    assert_eq!(drop.place_of("ann").await.expect("a place").ahead, 1);
}

/// Whoever loads or follows learns it with the version.
pub async fn a_follower_is_told_that_people_wait(fixture: &impl Waitlists) {
    let drop = sold_out(fixture, 1).await;
    let load = drop.adopt(1, 0).await;
    drop.wish("ann", 1).await;
    let update = drop.update(1, load.version, 0).await;
    assert_eq!(level(&update, &item("left")), Some((0, true)));
    assert_eq!(level(&update, &item("right")), Some((5, false)));
    let late = drop.adopt(2, load.epoch.0).await;
    assert!(late.items.iter().any(|level| level.item == item("left") && level.waiting));
}

/// Then nothing else stands between the public and a unit that came back.
pub async fn without_a_gate_the_ledger_refuses_the_public(fixture: &impl Waitlists) {
    let drop = sold_out(fixture, 1).await;
    let ann = drop.wish("ann", 1).await;
    drop.units_return(0..1).await;
    assert_eq!(drop.refusal(accept("bob~k", &[("left", 1)])).await, Reason::SoldOut);
    assert_eq!(drop.refusal(accept("bob~l", &[("right", 1), ("left", 1)])).await, Reason::SoldOut);
    drop.take(accept("bob~m", &[("right", 1)])).await;
    drop.offered(&ann).await;
}

/// Hole 32: a join that reads "nothing free" while a return reads "nobody waits" would leave both alone for ever.
pub async fn a_join_and_a_return_at_once_leave_nobody_beside_a_free_unit(fixture: &impl Waitlists) {
    for _ in 0..10 {
        let drop = sold_out(fixture, 1).await;
        let joins = async { drop.joins(&[join("ann", 1)]).await.0.remove(0) };
        let returns = drop.units_return(0..1);
        let (joined, ()) = futures_util::future::join(joins, returns).await;
        match joined {
            Joined::Done(_) => assert!(drop.waits("left").await, "she waits, and anybody can buy"),
            Joined::Refused(JoinRefusal::StillAvailable { .. }) => assert!(!drop.waits("left").await),
            other => panic!("{other:?}"),
        }
        assert_eq!(drop.allocated("left").await, 0);
    }
}

/// Two nodes read no number twice.
pub async fn members_who_join_at_once_have_numbers_of_their_own(fixture: &impl Waitlists) {
    let drop = sold_out(fixture, 1).await;
    let all = together((0..8).map(|n| {
        let drop = &drop;
        async move { drop.wish(&format!("m{n}"), 1).await.number }
    }));
    let mut numbers = all.await;
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=8).collect::<Vec<u64>>());
}

/// Once, with the number; a repeat tells nothing.
pub async fn a_wish_is_told_as_a_fact(fixture: &impl Waitlists) {
    let drop = sold_out(fixture, 1).await;
    let ann = drop.wish("ann", 2).await;
    drop.joins(&[join("ann", 2)]).await;
    let history = flashsale_core::event::Outbox::history(&drop.ledger, ann.offer.as_str()).await.expect("history");
    let [told] = history.as_slice() else { panic!("{history:?}") };
    let fact = Fact::WaitlistWished {
        offer: ann.offer.clone(),
        member: buyer("ann"),
        item: item("left"),
        units: 2,
        number: 1,
    };
    assert_eq!((&told.fact, told.version, told.sale.as_ref()), (&fact, 0, Some(&drop.sale)));
}
