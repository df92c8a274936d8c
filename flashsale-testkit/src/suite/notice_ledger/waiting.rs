//! Keeping, taking, settling.

use std::collections::BTreeSet;
use std::time::Duration;

use flashsale_core::Timestamp;
use flashsale_core::notice::{Message, Notice, NoticeLedger, Settled, Taken};
use flashsale_core::unit::Quantity;

use super::Notices;
use crate::fixture::START;
use crate::sample::{amount, notice};

const LEASE: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_secs(1);

fn one(key: &str) -> Notice {
    notice(key, "ann", START)
}

async fn take<P: NoticeLedger>(ledger: &P, limit: usize) -> Vec<Taken> {
    ledger.take(limit, LEASE).await.expect("take")
}

fn keys(taken: &[Taken]) -> Vec<(&str, u32)> {
    taken.iter().map(|taken| (taken.notice.key.as_str(), taken.tries)).collect()
}

async fn settle<P: NoticeLedger>(ledger: &P, key: &str, settled: Settled) {
    ledger.settle(&[(one(key).key, settled)]).await.expect("settle");
}

/// Key, member, time and every kind of message, as they were.
pub async fn what_is_kept_is_taken_whole(fixture: &impl Notices) {
    let ledger = fixture.fresh().await;
    let order = || -> flashsale_core::OrderId { "ann~1".parse().unwrap() };
    let item = || -> flashsale_core::ItemId { "hat".parse().unwrap() };
    let (units, within) = (Quantity::new(2).unwrap(), Duration::from_millis(600_001));
    let messages = [
        Message::OrderAccepted { order: order(), pays: amount(9), pay_by: Some(START) },
        Message::OrderAccepted { order: order(), pays: amount(0), pay_by: None },
        Message::OrderConfirmed { order: order(), pays: amount(9) },
        Message::OrderCancelled { order: order(), reason: "it \"was\" not paid: 왜?".to_owned() },
        Message::OrderReturned { order: order() },
        Message::OfferMade { offer: order(), item: item(), units, within: Some(within) },
        Message::OfferMade { offer: order(), item: item(), units, within: None },
        Message::OfferLapsed { offer: order(), item: item(), units },
        Message::CouponIssued {
            coupon: "welcome~2027-01~ann".parse().unwrap(),
            campaign: "welcome".parse().unwrap(),
            until: START,
        },
    ];
    let number = |(n, message)| Notice { message, ..one(&format!("ann~1/{n}/fact")) };
    let notices: Vec<Notice> = messages.into_iter().enumerate().map(number).collect();
    ledger.keep(&notices).await.expect("keep");
    let mut taken: Vec<Notice> = take(&ledger, 100).await.into_iter().map(|taken| taken.notice).collect();
    taken.sort_by(|a, b| a.key.cmp(&b.key));
    assert_eq!(taken, notices);
    ledger.keep(&[]).await.expect("keep");
    ledger.settle(&[]).await.expect("settle");
}

/// A fact that comes again, also in the same batch, is the same notice; it does not come sooner for it.
pub async fn a_notice_is_kept_once_per_key(fixture: &impl Notices) {
    let ledger = fixture.fresh().await;
    ledger.keep(&[one("a"), one("a")]).await.expect("keep");
    assert_eq!(keys(&take(&ledger, 100).await), [("a", 1)]);
    ledger.keep(&[one("a"), one("b")]).await.expect("keep");
    assert_eq!(keys(&take(&ledger, 100).await), [("b", 1)], "the first is under way");
}

/// Whoever took it died; the next attempt knows how many there were.
pub async fn what_was_taken_comes_again_when_its_lease_ends(fixture: &impl Notices) {
    let ledger = fixture.fresh().await;
    ledger.keep(&[one("a")]).await.expect("keep");
    for attempt in 1..4 {
        assert_eq!(keys(&ledger.take(9, SOON).await.expect("take")), [("a", attempt)]);
        assert!(take(&ledger, 9).await.is_empty(), "it is taken");
        fixture.advance(SOON + Duration::from_millis(1)).await;
    }
}

/// Nobody is overtaken for ever.
pub async fn the_longest_due_come_first_and_no_more_than_asked_for(fixture: &impl Notices) {
    let ledger = fixture.fresh().await;
    for key in ["c", "a", "b"] {
        ledger.keep(&[one(key)]).await.expect("keep");
        fixture.advance(Duration::from_millis(5)).await;
    }
    assert!(take(&ledger, 0).await.is_empty());
    assert_eq!(keys(&take(&ledger, 2).await), [("c", 1), ("a", 1)]);
    assert_eq!(keys(&take(&ledger, 2).await), [("b", 1)]);
}

/// It was handed over, or never will be.
pub async fn what_is_gone_stays_gone(fixture: &impl Notices) {
    let ledger = fixture.fresh().await;
    ledger.keep(&[one("a"), one("b")]).await.expect("keep");
    assert_eq!(ledger.take(9, SOON).await.expect("take").len(), 2);
    settle(&ledger, "a", Settled::Gone).await;
    fixture.advance(SOON + Duration::from_millis(1)).await;
    assert_eq!(keys(&take(&ledger, 9).await), [("b", 2)]);
}

/// Not before it, and whatever its lease was.
pub async fn what_is_for_later_comes_at_its_time(fixture: &impl Notices) {
    let ledger = fixture.fresh().await;
    ledger.keep(&[one("now"), one("later"), one("far")]).await.expect("keep");
    assert_eq!(take(&ledger, 9).await.len(), 3);
    let later = [("now", Timestamp::from_ms(0)), ("later", START.after(SOON)), ("far", Timestamp::FAR)];
    ledger.settle(&later.map(|(key, at)| (one(key).key, Settled::Later(at)))).await.expect("settle");
    assert_eq!(keys(&ledger.take(9, LEASE).await.expect("take")), [("now", 2)]);
    fixture.advance(SOON + Duration::from_millis(1)).await;
    assert_eq!(keys(&take(&ledger, 9).await), [("later", 2)]);
}

/// It was settled by somebody else, or never kept.
pub async fn a_notice_that_is_not_there_is_left_out(fixture: &impl Notices) {
    let ledger = fixture.fresh().await;
    settle(&ledger, "a", Settled::Gone).await;
    settle(&ledger, "a", Settled::Later(START)).await;
    assert!(take(&ledger, 9).await.is_empty());
}

/// Several nodes share the work.
pub async fn of_many_who_take_at_once_each_gets_its_own(fixture: &impl Notices) {
    let ledger = fixture.fresh().await;
    let notices: Vec<Notice> = (0..30).map(|n| one(&format!("n{n}"))).collect();
    ledger.keep(&notices).await.expect("keep");
    let took = crate::together((0..6).map(|_| take(&ledger, 7))).await;
    let mut seen = BTreeSet::new();
    for taken in took.iter().flatten() {
        assert!(seen.insert(taken.notice.key.clone()), "{} was taken twice", taken.notice.key);
    }
    while let rest @ [_, ..] = &*take(&ledger, 7).await {
        seen.extend(rest.iter().map(|taken| taken.notice.key.clone()));
    }
    assert_eq!(seen.len(), 30, "none is lost");
}

/// What a member has not heard yet is durable, where the ledger is.
pub async fn notices_outlive_a_restart(fixture: &impl Notices) {
    let ledger = fixture.fresh().await;
    ledger.keep(&[one("a")]).await.expect("keep");
    let Some(ledger) = fixture.restart(ledger).await else { return };
    assert_eq!(keys(&take(&ledger, 9).await), [("a", 1)]);
}
