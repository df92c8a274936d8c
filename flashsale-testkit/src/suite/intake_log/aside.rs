//! What cannot be decided: set aside, and taken up again when a person says so.

use flashsale_core::order::{IntakeLog, SetAside};

use super::{Logs, records, take};

/// Not again and again: a second recall finds nothing.
pub async fn what_is_set_aside_comes_again_once_when_it_is_recalled(fixture: &impl Logs) {
    let log = fixture.fresh().await;
    let aside: Vec<SetAside> = records([1, 2])
        .into_iter()
        .map(|record| SetAside { record, reason: "the ledger does not take it".to_owned(), tries: 5 })
        .collect();
    log.set_aside(&aside).await.expect("set aside");
    log.append(&records([3])).await.expect("append");
    assert_eq!(take(&log, 1).await, [3], "what is aside holds nobody up");
    assert_eq!(log.recall(1).await.expect("recall"), 1);
    assert_eq!(take(&log, 1).await, [1]);
    assert_eq!(log.recall(10).await.expect("recall"), 1);
    assert_eq!(take(&log, 1).await, [2]);
    assert_eq!(log.recall(10).await.expect("recall"), 0);
}
