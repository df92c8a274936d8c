//! Appending, polling, keeping the place; one process and several.

use flashsale_core::Timestamp;
use flashsale_core::order::{IntakeLog, Reason, Recorded};
use flashsale_core::stock::{Note, Then};

use super::{Logs, number, record_of, records, sale, take};
use crate::sample::{accept, coupon, held, sale_id, with_coupon};

/// Every field: the hold, the total, the coupon, the way to pay, the note, and what is to become of it.
pub async fn a_record_arrives_as_it_was(fixture: &impl Logs) {
    let log = fixture.fresh().await;
    let plain = held(3, 9, accept("ann~1", &[("hat", 2), ("scarf", 1)]));
    let mut full = with_coupon("plant~once~bob", accept("bob~1", &[("hat", 1)]));
    full.expect = Some(crate::sample::amount(7_000));
    full.note = Some(Note::new("Main St 1, \"2nd\" floor\n\u{1F33F}").expect("a note"));
    let mut claim = accept("cid~plant~1", &[("coupon", 1)]);
    claim.then = Then::Issue(Box::new(coupon("plant~once~cid", Timestamp::from_ms(99))));
    let mut kept = accept("dan~1", &[("hat", 1)]);
    kept.then = Then::Keep;
    let mut refused = accept("eve~1", &[("hat", 1)]);
    refused.then = Then::Refuse(Reason::SoldOut);
    let record = |accept| Recorded { sale: sale(), accept, at: Timestamp::from_ms(1_800_000_000_123) };
    let batch: Vec<Recorded> = [plain, full, claim, kept, refused].into_iter().map(record).collect();
    log.append(&batch).await.expect("append");
    let mut came = Vec::new();
    while came.len() < batch.len() {
        let polled = log.poll(10).await.expect("poll");
        came.extend(polled.records);
        log.commit(polled.position).await.expect("commit");
    }
    assert_eq!(came, batch);
}

/// Of each sale for itself, also where a batch is small.
pub async fn records_of_a_sale_arrive_in_the_order_of_the_log(fixture: &impl Logs) {
    let log = fixture.fresh().await;
    let other = sale_id("other");
    let append = async {
        for n in 0..10 {
            log.append(&records(n * 10 + 1..=n * 10 + 10)).await.expect("append");
            log.append(&[record_of(&other, n + 1)]).await.expect("append");
        }
    };
    let consume = async {
        let mut seen = Vec::new();
        while seen.len() < 110 {
            let polled = log.poll(100).await.expect("poll");
            log.commit(polled.position).await.expect("commit");
            seen.extend(polled.records);
        }
        seen
    };
    let ((), seen) = tokio::join!(append, consume);
    let of = |wanted: &str| -> Vec<u64> {
        seen.iter().filter(|record| record.sale.as_str() == wanted).map(number).collect()
    };
    assert_eq!(of("drop"), (1..=100).collect::<Vec<_>>());
    assert_eq!(of("other"), (1..=10).collect::<Vec<_>>());
}

/// The rest comes with the next delivery.
pub async fn a_delivery_has_no_more_than_asked_for(fixture: &impl Logs) {
    let log = fixture.fresh().await;
    log.append(&records(1..=5)).await.expect("append");
    let mut seen = Vec::new();
    while seen.len() < 5 {
        let polled = log.poll(2).await.expect("poll");
        assert!((1..=2).contains(&polled.records.len()));
        seen.extend(polled.records.iter().map(number));
        log.commit(polled.position).await.expect("commit");
    }
    assert_eq!(seen, [1, 2, 3, 4, 5]);
}

/// Who failed before the ledger decided gets the records again.
pub async fn what_was_not_committed_comes_again(fixture: &impl Logs) {
    let log = fixture.fresh().await;
    log.append(&records(1..=3)).await.expect("append");
    let first = log.poll(10).await.expect("poll");
    log.rewind().await.expect("rewind");
    let again = take(&log, 3).await;
    assert_eq!(first.records.iter().map(number).collect::<Vec<_>>(), again[..first.records.len()]);
    assert_eq!(again, [1, 2, 3]);
}

/// What was kept is kept: only deliveries after the last commit come again.
pub async fn a_rewind_does_not_undo_a_commit(fixture: &impl Logs) {
    let log = fixture.fresh().await;
    log.append(&records(1..=4)).await.expect("append");
    let first = log.poll(2).await.expect("poll");
    log.commit(first.position).await.expect("commit");
    log.poll(2).await.expect("poll");
    log.rewind().await.expect("rewind");
    let done = first.records.len() as u64;
    assert_eq!(take(&log, 4 - first.records.len()).await, (done + 1..=4).collect::<Vec<_>>());
}

/// A poll without records ends with the next append, not before.
pub async fn a_process_waits_until_there_is_something(fixture: &impl Logs) {
    let log = fixture.fresh().await;
    let consume = take(&log, 1);
    tokio::pin!(consume);
    for _ in 0..10 {
        tokio::select! {
            biased;
            seen = &mut consume => panic!("{seen:?} came out of nothing"),
            () = tokio::task::yield_now() => {}
        }
    }
    let batch = records([7]);
    let (appended, seen) = tokio::join!(log.append(&batch), consume);
    appended.expect("append");
    assert_eq!(seen, [7]);
}

/// Cancel safety: who is dropped in the middle of a poll has lost nothing.
pub async fn a_dropped_poll_loses_nothing(fixture: &impl Logs) {
    let log = fixture.fresh().await;
    for _ in 0..3 {
        tokio::select! {
            biased;
            polled = log.poll(10) => panic!("{polled:?} came out of nothing"),
            () = tokio::task::yield_now() => {}
        }
    }
    log.append(&records(1..=3)).await.expect("append");
    assert_eq!(take(&log, 3).await, [1, 2, 3]);
}

/// From the last place that was kept, in order; and not before the first is gone.
pub async fn what_a_process_leaves_behind_comes_to_another(fixture: &impl Logs) {
    let first = fixture.fresh().await;
    let second = fixture.another(&first).await;
    first.append(&records(1..=5)).await.expect("append");
    let kept = first.poll(2).await.expect("poll");
    first.commit(kept.position).await.expect("commit");
    let lost = first.poll(2).await.expect("poll");
    assert!(!lost.records.is_empty());
    drop(first);
    let done = kept.records.len() as u64;
    assert_eq!(take(&second, 5 - kept.records.len()).await, (done + 1..=5).collect::<Vec<_>>());
}
