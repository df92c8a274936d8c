//! Seeing what anybody records, beside the group.

use flashsale_core::order::IntakeLog;

use super::{Logs, number, records, take};

/// Appends one record after the other until `seen` ends; gives how many, and what was seen.
async fn append_until<T>(log: &impl IntakeLog, seen: impl Future<Output = T>) -> (u64, T) {
    tokio::pin!(seen);
    let mut n = 0;
    loop {
        n += 1;
        log.append(&records([n])).await.expect("append");
        tokio::select! {
            biased;
            seen = &mut seen => return (n, seen),
            // A log may need a moment until it knows who watches.
            () = tokio::task::yield_now() => {}
        }
    }
}

/// Each for itself, also the one that appends.
pub async fn every_process_sees_what_is_appended_while_it_watches(fixture: &impl Logs) {
    let one = fixture.fresh().await;
    let two = fixture.another(&one).await;
    let both = async { tokio::join!(one.watch(10), two.watch(10)) };
    let (appended, (first, second)) = append_until(&one, both).await;
    for seen in [first.expect("watch"), second.expect("watch")] {
        let seen: Vec<u64> = seen.iter().map(number).collect();
        assert!(!seen.is_empty() && seen.iter().all(|n| (1..=appended).contains(n)), "{seen:?} of {appended}");
        assert!(seen.is_sorted(), "{seen:?}");
    }
}

/// All of it still comes to the group.
pub async fn watching_moves_no_place(fixture: &impl Logs) {
    let log = fixture.fresh().await;
    let (appended, seen) = append_until(&log, log.watch(10)).await;
    seen.expect("watch");
    let count = usize::try_from(appended).expect("a small number");
    assert_eq!(take(&log, count).await, (1..=appended).collect::<Vec<_>>());
}
