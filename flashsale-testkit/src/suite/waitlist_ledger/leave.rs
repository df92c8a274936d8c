//! Leaving: only who waits, and the last one opens the item.

use std::time::Duration;

use flashsale_core::sale::Window;
use flashsale_core::stock::{Change, Reason, StockLedger};
use flashsale_core::waitlist::{Leave, Left, Parting, WaitlistLedger, WishState};

use super::{Waitlists, level, sold_out, terms};
use crate::sample::{accept, item, key, sale_id};

/// With the units that lie there, which is news for everybody.
pub async fn the_last_wish_that_leaves_opens_the_item(fixture: &impl Waitlists) {
    let drop = sold_out(fixture, 1).await;
    let ann = drop.wish("ann", 1).await;
    drop.units_return(0..1).await;
    assert_eq!(drop.told_available().await, 0);
    let before = drop.version().await;
    let (left, update) = drop.leaves(&[&ann]).await;
    let Left::Done(wish) = &left[0] else { panic!("{left:?}") };
    assert_eq!((wish.state, wish.why), (WishState::Left, Some(Parting::Member)));
    let update = update.expect("an update");
    assert_eq!((update.from, update.to.v), (before, before.v + 1));
    assert_eq!(level(&update, &item("left")), Some((1, false)));
    assert!(!drop.waits("left").await);
    assert_eq!(drop.told_available().await, 1);
    assert_eq!(drop.told_of(&ann.offer).await, ["waitlist.wished", "waitlist.left"]);
    drop.take(accept("bob~k", &[("left", 1)])).await;
}

/// No version without a change of the flag.
pub async fn those_who_wait_on_keep_the_item_closed(fixture: &impl Waitlists) {
    let drop = sold_out(fixture, 1).await;
    let (ann, bob) = (drop.wish("ann", 1).await, drop.wish("bob", 1).await);
    drop.units_return(0..1).await;
    let before = drop.version().await;
    assert_eq!(drop.leaves(&[&ann]).await.1, None);
    assert_eq!(drop.version().await, before);
    assert!(drop.waits("left").await);
    assert_eq!(drop.refusal(accept("cid~k", &[("left", 1)])).await, Reason::SoldOut);
    assert_eq!(drop.front(9).await.waiters[0].wish.offer, bob.offer);
}

/// The same answer, no version, no fact.
pub async fn leaving_again_changes_nothing(fixture: &impl Waitlists) {
    let drop = sold_out(fixture, 1).await;
    let ann = drop.wish("ann", 1).await;
    let (left, _) = drop.leaves(&[&ann, &ann]).await;
    let Left::Done(wish) = &left[0] else { panic!("{left:?}") };
    assert_eq!(left[1], Left::Already(wish.clone()));
    let before = drop.version().await;
    assert_eq!(drop.leaves(&[&ann]).await, (vec![Left::Already(wish.clone())], None));
    assert_eq!(drop.version().await, before);
    assert_eq!(drop.told_of(&ann.offer).await.len(), 2);
}

/// Its units are allocated: it is declined instead.
pub async fn an_offered_wish_does_not_leave(fixture: &impl Waitlists) {
    let drop = sold_out(fixture, 1).await;
    let ann = drop.wish("ann", 1).await;
    drop.units_return(0..1).await;
    drop.offered(&ann).await;
    let (left, update) = drop.leaves(&[&ann]).await;
    assert!(matches!(&left[0], Left::Already(wish) if wish.state == WishState::Offered), "{left:?}");
    assert_eq!((update, drop.allocated("left").await), (None, 1));
}

/// A name says nothing about where it belongs.
pub async fn a_wish_of_another_sale_is_unknown(fixture: &impl Waitlists) {
    let drop = sold_out(fixture, 1).await;
    let ann = drop.wish("ann", 1).await;
    drop.ledger.open(&flashsale_core::Sale { id: sale_id("other"), ..terms(1, 1) }).await.expect("open").expect("new");
    let leave = [Leave { offer: ann.offer.clone(), why: Parting::Member }];
    assert_eq!(drop.ledger.leave(&sale_id("other"), &leave).await.expect("leave"), (vec![Left::Unknown], None));
    assert_eq!(drop.ledger.leave(&sale_id("nowhere"), &leave).await.expect("leave"), (vec![Left::Unknown], None));
    assert_eq!(drop.stands("ann").await, WishState::Waiting);
}

/// A bounded number at a time, first come first; offers that were made stand.
pub async fn a_sale_that_is_over_ends_its_lines(fixture: &impl Waitlists) {
    let drop = sold_out(fixture, 1).await;
    let ann = drop.wish("ann", 1).await;
    let mut waiting = Vec::new();
    for name in ["bob", "cid", "dan"] {
        waiting.push(drop.wish(name, 1).await);
    }
    drop.units_return(0..1).await;
    drop.offered(&ann).await;
    let now = drop.front(1).await.now;
    let window = Window { opens_at: now, closes_at: now.after(Duration::from_millis(50)) };
    drop.ledger.change(&drop.sale, &key("c"), &Change::Window(window)).await.expect("change").expect("changed");
    fixture.advance(Duration::from_millis(60)).await;
    let (count, update) = drop.ledger.end(&drop.sale, 2).await.expect("end");
    assert_eq!((count, update), (2, None));
    assert_eq!(drop.stands("dan").await, WishState::Waiting);
    let (count, update) = drop.ledger.end(&drop.sale, 2).await.expect("end");
    assert_eq!((count, level(&update.expect("an update"), &item("left"))), (1, Some((0, false))));
    assert_eq!(drop.ledger.end(&drop.sale, 2).await.expect("end"), (0, None));
    for wish in waiting {
        assert_eq!(drop.told_of(&wish.offer).await, ["waitlist.wished", "waitlist.left"]);
    }
    let place = drop.place_of("dan").await.expect("he wished");
    assert_eq!((place.wish.state, place.wish.why), (WishState::Left, Some(Parting::Closed)));
    assert_eq!(drop.stands("ann").await, WishState::Offered);
}

/// The ledger's own clock and rows say whether it is over.
pub async fn a_sale_that_goes_on_keeps_its_lines(fixture: &impl Waitlists) {
    let drop = sold_out(fixture, 1).await;
    drop.wish("ann", 1).await;
    assert_eq!(drop.ledger.end(&drop.sale, 9).await.expect("end"), (0, None));
    assert_eq!(drop.ledger.end(&sale_id("nowhere"), 9).await.expect("end"), (0, None));
    assert_eq!(drop.stands("ann").await, WishState::Waiting);
}
