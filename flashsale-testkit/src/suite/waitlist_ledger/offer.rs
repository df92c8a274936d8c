//! Offers: orders whose units are allocated, once for each wish; taken, declined, lapsed (**G11**, I7).

use std::time::Duration;

use flashsale_core::event::StuckOver;
use flashsale_core::order::{Input, OrderLedger, OrderState, Policy};
use flashsale_core::stock::{Acceptance, Cancelled, Change, Reason, StockLedger};
use flashsale_core::waitlist::{Left, Wish, WishState};

use super::{Waitlists, level, offer, sold_out, terms};
use crate::sample::{PAY_WITHIN, accept, buyer, item, key};
use crate::suite::stock_ledger::opened;
use crate::suite::together;

/// And its wish is offered in the same transaction.
pub async fn an_offer_is_an_order_with_its_units_allocated(fixture: &impl Waitlists) {
    let drop = sold_out(fixture, 2).await;
    let ann = drop.wish("ann", 2).await;
    drop.units_return(0..2).await;
    let order = drop.offered(&ann).await;
    assert_eq!((order.state, &order.id, order.pay_by), (OrderState::Offered, &ann.offer, None));
    assert_eq!(order.due_at, Some(order.decided_at.after(PAY_WITHIN)));
    assert_eq!(order.amounts.pays.minor(), 200);
    let (rows, _) = drop.ledger.load(std::slice::from_ref(&order.id)).await.expect("load");
    assert_eq!(rows, [Some(order)]);
    assert_eq!((drop.allocated("left").await, drop.stands("ann").await), (2, WishState::Offered));
}

/// Repeated, by another node, twice in one batch: one order.
pub async fn an_offer_is_made_once(fixture: &impl Waitlists) {
    let drop = sold_out(fixture, 3).await;
    let ann = drop.wish("ann", 1).await;
    drop.units_return(0..3).await;
    let twice = drop.batch(&[offer(&ann), offer(&ann)]).await.answers;
    assert!(matches!(twice.as_slice(), [Acceptance::Decided(_), Acceptance::Already(_)]), "{twice:?}");
    assert!(matches!(drop.ask(offer(&ann)).await, Acceptance::Already(_)));
    let at_once = together((0..4).map(|_| drop.ask(offer(&ann)))).await;
    assert!(at_once.iter().all(|answer| matches!(answer, Acceptance::Already(_))), "{at_once:?}");
    assert_eq!(drop.allocated("left").await, 1);
}

/// Two passes that saw the same unit.
pub async fn one_unit_is_offered_to_one(fixture: &impl Waitlists) {
    let drop = sold_out(fixture, 1).await;
    let wishes = [drop.wish("ann", 1).await, drop.wish("bob", 1).await];
    drop.units_return(0..1).await;
    let answers = together(wishes.iter().map(|wish| drop.ask(offer(wish)))).await;
    let made = answers.iter().filter(|answer| matches!(answer, Acceptance::Decided(_))).count();
    let not = answers.iter().filter(|answer| **answer == Acceptance::NotOffered(Reason::SoldOut)).count();
    assert_eq!((made, not), (1, 1), "{answers:?}");
    assert_eq!(drop.allocated("left").await, 1);
}

/// Neither to one who left nor to one who never came, and nothing is written: the name is still his.
pub async fn an_offer_that_nobody_waits_for_is_not_made(fixture: &impl Waitlists) {
    let drop = sold_out(fixture, 2).await;
    let (ann, bob) = (drop.wish("ann", 1).await, drop.wish("bob", 1).await);
    drop.units_return(0..2).await;
    drop.leaves(&[&ann]).await;
    let cid = Wish { offer: Wish::name(&drop.sale, &item("left"), &buyer("cid"), 1), ..bob };
    let before = drop.version().await;
    for nobody in [&ann, &cid] {
        assert_eq!(drop.ask(offer(nobody)).await, Acceptance::NotOffered(Reason::NotWaiting));
    }
    assert_eq!((drop.version().await, drop.state(cid.offer.as_str()).await), (before, None));
    let cid = drop.wish("cid", 1).await;
    drop.offered(&cid).await;
}

/// A shrink in between is nobody's fault: he waits on, and is offered units later.
pub async fn a_refused_offer_leaves_the_wish_where_it_was(fixture: &impl Waitlists) {
    let drop = sold_out(fixture, 1).await;
    let ann = drop.wish("ann", 1).await;
    assert_eq!(drop.ask(offer(&ann)).await, Acceptance::NotOffered(Reason::SoldOut));
    assert_eq!((drop.stands("ann").await, drop.state(ann.offer.as_str()).await), (WishState::Waiting, None));
    drop.units_return(0..1).await;
    drop.offered(&ann).await;
}

/// **G3**: what he bought meanwhile counts.
pub async fn an_offer_keeps_the_limit(fixture: &impl Waitlists) {
    let drop = sold_out(fixture, 3).await;
    let ann = drop.wish("ann", 3).await;
    drop.units_return(0..3).await;
    let lower = Change::Limit { item: item("left"), per_buyer: crate::sample::units(2) };
    drop.ledger.change(&drop.sale, &key("c"), &lower).await.expect("change").expect("changed");
    assert_eq!(drop.ask(offer(&ann)).await, Acceptance::NotOffered(Reason::BuyerLimit));
    assert_eq!(drop.stands("ann").await, WishState::Waiting);
}

/// What is left over is for everybody, in the same version.
pub async fn the_last_offer_opens_the_item(fixture: &impl Waitlists) {
    let drop = sold_out(fixture, 3).await;
    let (ann, bob) = (drop.wish("ann", 1).await, drop.wish("bob", 1).await);
    drop.units_return(0..3).await;
    let update = drop.batch(&[offer(&ann)]).await.update.expect("an update");
    assert_eq!(level(&update, &item("left")), Some((2, true)));
    assert_eq!(drop.told_available().await, 0);
    let update = drop.batch(&[offer(&bob)]).await.update.expect("an update");
    assert_eq!(level(&update, &item("left")), Some((1, false)));
    assert!(!drop.waits("left").await);
    assert_eq!(drop.told_available().await, 1);
    drop.take(accept("cid~k", &[("left", 1)])).await;
}

/// One lock for all that came back.
pub async fn ten_offers_are_one_version(fixture: &impl Waitlists) {
    let drop = sold_out(fixture, 10).await;
    let mut wishes = Vec::new();
    for n in 0..10 {
        wishes.push(drop.wish(&format!("m{n}"), 1).await);
    }
    drop.units_return(0..10).await;
    let before = drop.version().await;
    let offers: Vec<_> = wishes.iter().map(offer).collect();
    let accepted = drop.batch(&offers).await;
    assert!(accepted.answers.iter().all(|answer| matches!(answer, Acceptance::Decided(_))));
    assert_eq!((drop.version().await.v, drop.allocated("left").await), (before.v + 1, 10));
}

/// The update that brings it says that people wait, and nobody is told that it can be bought.
pub async fn a_unit_that_comes_back_is_not_visible_to_the_public(fixture: &impl Waitlists) {
    let drop = sold_out(fixture, 2).await;
    drop.wish("ann", 1).await;
    let (_, update) = drop.cancels(&["seller-0~k"]).await;
    assert_eq!(level(&update.expect("an update"), &item("left")), Some((1, true)));
    let restock = Change::Adjust { item: item("left"), by: 1 };
    let update = drop.ledger.change(&drop.sale, &key("c"), &restock).await.expect("change").expect("changed");
    assert_eq!(level(&update.expect("an update"), &item("left")), Some((2, true)));
    assert_eq!(drop.told_available().await, 0);
}

/// It is the buyer's if he pays; the gate has nothing to learn.
pub async fn a_taken_offer_moves_no_unit(fixture: &impl Waitlists) {
    let drop = sold_out(fixture, 1).await;
    let ann = drop.wish("ann", 1).await;
    drop.units_return(0..1).await;
    drop.offered(&ann).await;
    let before = drop.version().await;
    let (order, update) = drop.drive(&ann.offer, |_| Input::OfferTaken { pay_within: Some(PAY_WITHIN) }).await;
    assert_eq!((order.state, order.pay_by), (OrderState::Accepted, Some(order.since.after(PAY_WITHIN))));
    assert_eq!((update, drop.version().await, drop.allocated("left").await), (None, before, 1));
    assert_eq!(drop.stands("ann").await, WishState::Accepted);
    // Undone later as any order; the wish has had its turn.
    drop.drive(&ann.offer, |_| Input::BuyerCancels).await;
    assert_eq!((drop.stands("ann").await, drop.allocated("left").await), (WishState::Accepted, 0));
}

/// It is accepted without the lock under which numbers are given: it waits to be paid, and is not counted.
pub async fn a_taken_offer_has_no_number_in_the_payment_line(fixture: &impl Waitlists) {
    let drop = sold_out(fixture, 1).await;
    let ann = drop.wish("ann", 1).await;
    drop.units_return(0..1).await;
    let before = drop.line().await;
    assert_eq!(drop.offered(&ann).await.pay_no, None);
    let (order, _) = drop.drive(&ann.offer, |_| Input::OfferTaken { pay_within: Some(PAY_WITHIN) }).await;
    assert_eq!((order.pay_no, order.is_in_payment_line()), (None, true));
    drop.drive(&ann.offer, |_| Input::BuyerCancels).await;
    assert_eq!(drop.line().await, before);
}

/// They meet the flag of those who wait behind.
pub async fn a_declined_offer_gives_its_units_back_to_the_line(fixture: &impl Waitlists) {
    let drop = sold_out(fixture, 1).await;
    let (ann, bob) = (drop.wish("ann", 1).await, drop.wish("bob", 1).await);
    drop.units_return(0..1).await;
    drop.offered(&ann).await;
    let (order, update) = drop.drive(&ann.offer, |_| Input::OfferDeclined).await;
    assert_eq!((order.state, order.reason), (OrderState::Cancelled, Some(Reason::Buyer)));
    assert_eq!(level(&update.expect("an update"), &item("left")), Some((1, true)));
    assert_eq!(drop.stands("ann").await, WishState::Declined);
    assert_eq!(drop.front(9).await.waiters[0].wish.offer, bob.offer);
    drop.offered(&bob).await;
}

/// Hole 34: the time of who was not told does not run.
pub async fn an_offer_lapses_from_the_moment_at_which_it_was_told(fixture: &impl Waitlists) {
    let drop = sold_out(fixture, 1).await;
    let ann = drop.wish("ann", 1).await;
    drop.units_return(0..1).await;
    let made = drop.offered(&ann).await;
    fixture.advance(Duration::from_millis(20)).await;
    let (told, _) = drop.drive(&ann.offer, |_| Input::OfferTold).await;
    assert_eq!((told.state, told.due_at, told.pay_by), (OrderState::Offered, told.pay_by, told.due_at));
    assert!(told.due_at.expect("a deadline") >= made.decided_at.after(Policy::default().offer_within));
    let (order, _) = drop.drive(&ann.offer, |row| Input::Deadline { ver: row.ver }).await;
    assert_eq!((order.state, order.reason), (OrderState::Cancelled, Some(Reason::Lapsed)));
    assert_eq!((drop.stands("ann").await, drop.allocated("left").await), (WishState::Lapsed, 0));
}

/// **G8**: it waits for a person, its units allocated; and can be told, or taken, after all.
pub async fn an_offer_that_nobody_could_be_told_of_is_stuck(fixture: &impl Waitlists) {
    let drop = sold_out(fixture, 1).await;
    let ann = drop.wish("ann", 1).await;
    drop.units_return(0..1).await;
    drop.offered(&ann).await;
    let (order, _) = drop.drive(&ann.offer, |row| Input::Deadline { ver: row.ver }).await;
    assert_eq!((order.state, order.due_at), (OrderState::Offered, None));
    assert_eq!(order.stuck.as_deref(), Some(StuckOver::Untold.code()));
    let stuck = drop.ledger.stuck(9).await.expect("stuck");
    assert_eq!(stuck.iter().map(|order| &order.id).collect::<Vec<_>>(), [&ann.offer]);
    assert_eq!((drop.stands("ann").await, drop.allocated("left").await), (WishState::Offered, 1));
    let (told, _) = drop.drive(&ann.offer, |_| Input::OfferTold).await;
    assert_eq!((told.stuck.as_deref(), told.due_at.is_some()), (None, true));
    assert!(drop.ledger.stuck(9).await.expect("stuck").is_empty());
}

/// By whatever road an offer ends, its wish ends with it.
pub async fn an_offer_that_an_operator_undid_has_ended_its_wish(fixture: &impl Waitlists) {
    let drop = sold_out(fixture, 1).await;
    let ann = drop.wish("ann", 1).await;
    drop.wish("bob", 1).await;
    drop.units_return(0..1).await;
    drop.offered(&ann).await;
    let (answers, update) = drop.cancels(&[ann.offer.as_str()]).await;
    assert!(matches!(answers.as_slice(), [Cancelled::Done(_)]), "{answers:?}");
    assert_eq!(level(&update.expect("an update"), &item("left")), Some((1, true)));
    assert_eq!(drop.stands("ann").await, WishState::Declined);
    assert!(matches!(drop.leaves(&[&ann]).await.0.as_slice(), [Left::Already(_)]));
}

/// Each once, in the order of what happened, beside the facts of the order.
pub async fn every_step_of_a_wish_is_told_once(fixture: &impl Waitlists) {
    let drop = sold_out(fixture, 3).await;
    let wishes = [drop.wish("ann", 1).await, drop.wish("bob", 1).await, drop.wish("cid", 1).await];
    drop.units_return(0..3).await;
    drop.batch(&wishes.each_ref().map(offer)).await;
    drop.batch(&wishes.each_ref().map(offer)).await;
    drop.drive(&wishes[0].offer, |_| Input::OfferTaken { pay_within: None }).await;
    drop.drive(&wishes[1].offer, |_| Input::OfferDeclined).await;
    drop.drive(&wishes[2].offer, |_| Input::OfferTold).await;
    drop.drive(&wishes[2].offer, |row| Input::Deadline { ver: row.ver }).await;
    let ends = [
        ["order.accepted", "waitlist.accepted"],
        ["order.cancelled", "waitlist.declined"],
        ["order.cancelled", "waitlist.lapsed"],
    ];
    for (wish, ends) in wishes.iter().zip(ends) {
        let mut told = drop.told_of(&wish.offer).await;
        told[2..].sort_unstable();
        assert_eq!(told[..2], ["waitlist.wished", "waitlist.offered"]);
        assert_eq!(told[2..], ends);
    }
}

/// With the numbers that come next.
pub async fn a_durable_ledger_keeps_wishes(fixture: &impl Waitlists) {
    let drop = opened(fixture, &terms(1, 5)).await;
    drop.take(accept("seller-0~k", &[("left", 1)])).await;
    let (ann, bob) = (drop.wish("ann", 1).await, drop.wish("bob", 2).await);
    drop.units_return(0..1).await;
    drop.offered(&ann).await;
    let sale = drop.sale.clone();
    let Some(ledger) = fixture.restart(drop.ledger).await else { return };
    let drop = crate::suite::stock_ledger::Open { ledger, sale };
    assert_eq!((drop.stands("ann").await, drop.waits("left").await), (WishState::Offered, true));
    assert_eq!(drop.place_of("bob").await.expect("a place").wish, bob);
    assert_eq!(drop.wish("cid", 1).await.number, 3);
}
