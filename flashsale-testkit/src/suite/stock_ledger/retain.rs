//! What may be forgotten and what may not: versions, after a while; never what was decided.

use std::time::Duration;

use flashsale_core::Timestamp;
use flashsale_core::stock::{Acceptance, Followed, StockLedger, Version};

use super::{Ledgers, Open, opened, word};
use crate::sample::{accept, held, sale};

const DAY: Duration = Duration::from_secs(86_400);

/// A sale whose gate is adopted, with one order every day; the version of each day, and the time of the last.
async fn days<F: Ledgers>(fixture: &F, days: u64) -> (Open<F::Port>, Vec<Version>, Timestamp) {
    let drop = opened(fixture, &sale("drop", &[("a", 99, 0, 99)])).await;
    let mut versions = vec![drop.adopt(7, 0).await.version];
    for n in 1..=days {
        fixture.advance(DAY).await;
        drop.take(held(1, n, accept(&format!("b{n}~1"), &[("a", 1)]))).await;
        versions.push(drop.version().await);
    }
    let now = drop.ledger.totals(&drop.sale).await.expect("totals").expect("the sale is known").now;
    (drop, versions, now)
}

async fn forget<P: StockLedger>(drop: &Open<P>, before: Timestamp, limit: usize) -> usize {
    drop.ledger.forget(&drop.sale, before, limit).await.expect("forget")
}

/// The rule `forget_before`: from the old end, only what is older, and never the newest.
pub async fn only_old_versions_are_forgotten(fixture: &impl Ledgers) {
    let (drop, versions, now) = days(fixture, 4).await;
    let two_days_ago = Timestamp::from_ms(now.ms() - 2 * 86_400_000);
    assert_eq!(forget(&drop, two_days_ago, 100).await, 1, "what was the newest until then stays: a gate may be at it");
    assert_eq!(forget(&drop, two_days_ago, 100).await, 0);
    for (n, version) in versions.iter().enumerate().skip(1).take(3) {
        assert!(matches!(drop.follow(7, *version, 0).await, Followed::Update(_)), "day {n} is known");
    }
}

/// One transaction is bounded, and the next goes on.
pub async fn versions_are_forgotten_a_bounded_number_at_once(fixture: &impl Ledgers) {
    let (drop, _, _) = days(fixture, 5).await;
    let mut steps = Vec::new();
    for _ in 0..4 {
        steps.push(forget(&drop, Timestamp::FAR, 2).await);
    }
    assert_eq!(steps, [2, 2, 1, 0]);
    drop.take(held(1, 6, accept("next~1", &[("a", 1)]))).await;
    let none = opened(fixture, &sale("none", &[("a", 1, 0, 1)])).await;
    assert_eq!(forget(&none, Timestamp::FAR, 2).await, 0);
}

/// The newest version stays, whatever its age: a quiet sale is not halted.
pub async fn a_gate_that_has_everything_is_current_however_old(fixture: &impl Ledgers) {
    let (drop, versions, _) = days(fixture, 3).await;
    forget(&drop, Timestamp::FAR, 100).await;
    let last = *versions.last().expect("a version");
    assert_eq!(drop.follow(7, last, 0).await, Followed::Current);
    assert!(matches!(drop.follow(7, last, 3).await, Followed::Update(_)), "and its holds lapse");
    let other = Version { tag: last.tag ^ 1, ..last };
    assert_eq!(drop.follow(7, other, 0).await, Followed::Rewound, "another history is still noticed");
    let ahead = Version { v: last.v + 1, ..last };
    assert_eq!(drop.follow(7, ahead, 0).await, Followed::Rewound);
    drop.take(held(1, 4, accept("next~1", &[("a", 1)]))).await;
    assert!(matches!(drop.follow(7, last, 0).await, Followed::Update(_)));
}

/// Nothing is known of a forgotten version: the gate is late, which halts no sale.
pub async fn a_gate_at_a_forgotten_version_begins_anew(fixture: &impl Ledgers) {
    let (drop, versions, _) = days(fixture, 3).await;
    forget(&drop, Timestamp::FAR, 100).await;
    for version in &versions[..3] {
        assert_eq!(drop.follow(7, *version, 0).await, Followed::Superseded);
        assert_eq!(drop.follow(7, *version, 1).await, Followed::Superseded);
    }
    let load = drop.adopt(8, 1).await;
    assert_eq!(drop.follow(8, load.version, 0).await, Followed::Current);
}

/// **G7**: forgetting takes no order, no unit and no answer.
pub async fn a_decided_id_outlives_its_version(fixture: &impl Ledgers) {
    let (drop, _, _) = days(fixture, 3).await;
    drop.cancel("b2~1").await;
    forget(&drop, Timestamp::FAR, 100).await;
    for n in 1..=3 {
        let answer = drop.ask(held(1, n, accept(&format!("b{n}~1"), &[("a", 1)]))).await;
        assert_eq!(word(&answer), "already");
        let Acceptance::Already(order) = answer else { panic!("already") };
        assert_eq!(order.state.holds_units(), n != 2);
    }
    assert_eq!(drop.allocated("a").await, 2);
}
