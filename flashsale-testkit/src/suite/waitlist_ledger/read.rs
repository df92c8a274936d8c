//! What is read of lines: their fronts, places, and what a member wishes.

use std::time::Duration;

use flashsale_core::sale::SaleState;
use flashsale_core::stock::StockLedger;
use flashsale_core::waitlist::{Join, WaitlistLedger, WishState};

use super::{Waitlists, join, sold_out, terms};
use crate::sample::{accept, buyer, item, key, sale_id};
use crate::suite::stock_ledger::opened;

/// However long the line, who can be served is seen; and who is first, also where he wants more than there is.
pub async fn the_front_is_the_first_and_those_for_whom_the_units_suffice(fixture: &impl Waitlists) {
    let drop = sold_out(fixture, 2).await;
    for (name, n) in [("ann", 3), ("bob", 3), ("cid", 1), ("dan", 2), ("eve", 1), ("fay", 1)] {
        drop.wish(name, n).await;
    }
    drop.units_return(0..1).await;
    let names = |line: flashsale_core::waitlist::Line| -> Vec<String> {
        line.waiters.iter().map(|waiter| waiter.wish.member().to_string()).collect()
    };
    assert_eq!(names(drop.front(9).await), ["ann", "cid", "eve", "fay"]);
    assert_eq!(names(drop.front(2).await), ["ann", "cid"]);
    let item = drop.front(1).await.item;
    assert_eq!((item.total, item.allocated, item.waiting), (2, 1, true));
    assert_eq!(drop.ledger.line(&drop.sale, &crate::sample::item("nothing"), 9).await.expect("line"), None);
    assert_eq!(drop.ledger.line(&sale_id("nowhere"), &crate::sample::item("left"), 9).await.expect("line"), None);
}

/// So that nobody is offered more than he may have.
pub async fn a_line_tells_what_its_members_have(fixture: &impl Waitlists) {
    let drop = opened(fixture, &terms(2, 5)).await;
    drop.take(accept("ann~k", &[("left", 2), ("right", 3)])).await;
    drop.wish("ann", 1).await;
    drop.wish("bob", 1).await;
    drop.cancels(&["ann~other"]).await;
    let restock = flashsale_core::stock::Change::Adjust { item: item("left"), by: 1 };
    drop.ledger.change(&drop.sale, &key("c"), &restock).await.expect("change").expect("changed");
    let have: Vec<u32> = drop.front(9).await.waiters.iter().map(|waiter| waiter.have).collect();
    assert_eq!(have, [2, 0]);
}

/// The time for which units are gathered begins once.
pub async fn gathering_is_noted_once(fixture: &impl Waitlists) {
    let drop = sold_out(fixture, 1).await;
    let (ann, bob) = (drop.wish("ann", 2).await, drop.wish("bob", 2).await);
    assert_eq!(ann.gathers, None);
    drop.ledger.gather(std::slice::from_ref(&ann.offer)).await.expect("gather");
    let first = drop.place_of("ann").await.expect("a place").wish.gathers;
    assert!(first.is_some());
    fixture.advance(Duration::from_millis(20)).await;
    drop.ledger.gather(&[ann.offer, bob.offer]).await.expect("gather");
    assert_eq!(drop.place_of("ann").await.expect("a place").wish.gathers, first);
    assert!(drop.place_of("bob").await.expect("a place").wish.gathers > first);
}

/// Items for which somebody waits, and no others.
pub async fn what_is_sought_is_listed_in_order(fixture: &impl Waitlists) {
    let drop = sold_out(fixture, 1).await;
    assert_eq!(drop.ledger.sought(9).await.expect("sought").0, []);
    drop.wish("ann", 1).await;
    let others = flashsale_core::Sale { id: sale_id("aa"), ..terms(1, 2) };
    drop.ledger.open(&others).await.expect("open").expect("new");
    let both = [join("ann", 2), Join { item: item("right"), ..join("ann", 3) }];
    drop.ledger.join(&others.id, &both).await.expect("join");
    let (sought, _) = drop.ledger.sought(9).await.expect("sought");
    let seen: Vec<(&str, &str, u32)> =
        sought.iter().map(|s| (s.sale.as_str(), s.item.item.as_str(), s.free())).collect();
    assert_eq!(seen, [("aa", "left", 1), ("aa", "right", 2), ("drop", "left", 0)]);
    assert!(sought.iter().all(|s| s.state == SaleState::Open && s.item.waiting));
    assert_eq!(drop.ledger.sought(2).await.expect("sought").0, sought[..2]);
}

/// Who left is not counted; who does not wait any more has nobody before him.
pub async fn a_place_counts_those_before_it(fixture: &impl Waitlists) {
    let drop = sold_out(fixture, 1).await;
    let ann = drop.wish("ann", 1).await;
    let bob = drop.wish("bob", 1).await;
    drop.wish("cid", 1).await;
    let ahead = |place: Option<flashsale_core::waitlist::Place>| place.expect("a place").ahead;
    assert_eq!((ahead(drop.place_of("ann").await), ahead(drop.place_of("cid").await)), (0, 2));
    drop.leaves(&[&bob]).await;
    assert_eq!(ahead(drop.place_of("cid").await), 1);
    assert_eq!(ahead(drop.place_of("bob").await), 0);
    drop.units_return(0..1).await;
    drop.offered(&ann).await;
    assert_eq!((ahead(drop.place_of("cid").await), drop.place_of("zoe").await), (0, None));
}

/// His alone, a bounded number, whatever became of them.
pub async fn wishes_of_a_member_come_latest_first(fixture: &impl Waitlists) {
    let drop = sold_out(fixture, 1).await;
    let first = drop.wish("ann", 1).await;
    drop.wish("ann-2", 1).await;
    drop.leaves(&[&first]).await;
    fixture.advance(Duration::from_millis(20)).await;
    let second = drop.wish("ann", 1).await;
    let wishes = drop.ledger.wishes(&buyer("ann"), 9).await.expect("wishes");
    let seen: Vec<_> = wishes.iter().map(|wish| (&wish.offer, wish.state)).collect();
    assert_eq!(seen, [(&second.offer, WishState::Waiting), (&first.offer, WishState::Left)]);
    assert_eq!(drop.ledger.wishes(&buyer("ann"), 1).await.expect("wishes"), wishes[..1]);
    assert_eq!(drop.ledger.wishes(&buyer("zoe"), 9).await.expect("wishes"), []);
}
