//! Handing over.

use flashsale_core::notice::{Notice, NoticeKey, Notifier, Outcome, Reach};

use super::Notifiers;
use crate::fixture::START;
use crate::sample::{buyer, notice};

fn sorted(mut keys: Vec<NoticeKey>) -> Vec<NoticeKey> {
    keys.sort();
    keys
}

fn some(count: usize) -> Vec<Notice> {
    let member = |n: usize| if n.is_multiple_of(2) { "ann" } else { "bob" };
    (0..count).map(|n| notice(&format!("{}~{n}/1/order.returned", member(n)), member(n), START)).collect()
}

fn keys(notices: &[Notice]) -> Vec<NoticeKey> {
    sorted(notices.iter().map(|notice| notice.key.clone()).collect())
}

/// As many outcomes as notices, and as many reaches as members.
pub async fn every_notice_gets_an_answer_in_order(fixture: &impl Notifiers) {
    let notifier = fixture.fresh().await;
    let members = [buyer("ann"), buyer("bob"), buyer("ann")];
    assert_eq!(notifier.reach(&members).await.expect("reach"), [Reach::Here; 3]);
    for count in [1, 2, 33] {
        assert_eq!(notifier.send(&some(count)).await, vec![Outcome::HandedOver; count]);
    }
}

/// An empty batch.
pub async fn nothing_is_said_for_nothing(fixture: &impl Notifiers) {
    let notifier = fixture.fresh().await;
    assert_eq!(notifier.reach(&[]).await.expect("reach"), []);
    assert_eq!(notifier.send(&[]).await, []);
    assert_eq!(fixture.arrived(&notifier).await, []);
}

/// Handed over means that it is there.
pub async fn what_is_handed_over_arrives_under_its_key(fixture: &impl Notifiers) {
    let notifier = fixture.fresh().await;
    let notices = some(5);
    assert_eq!(notifier.send(&notices).await, [Outcome::HandedOver; 5]);
    assert_eq!(sorted(fixture.arrived(&notifier).await), keys(&notices));
}

/// **G9**: whoever gets it twice can see that it is the same.
pub async fn a_repeat_arrives_under_the_same_key(fixture: &impl Notifiers) {
    let notifier = fixture.fresh().await;
    let notices = some(1);
    for _ in 0..2 {
        assert_eq!(notifier.send(&notices).await, [Outcome::HandedOver]);
    }
    let mut arrived = fixture.arrived(&notifier).await;
    arrived.dedup();
    assert_eq!(arrived, keys(&notices), "once or twice, and never as something else");
}

/// One bad address does not silence the batch.
pub async fn one_that_is_refused_keeps_no_other_from_going(fixture: &impl Notifiers) {
    let Some(refused) = fixture.refused() else { return };
    let notifier = fixture.fresh().await;
    let mut notices = some(4);
    notices.insert(2, notice("refused/1/order.returned", refused, START));
    let outcomes = notifier.send(&notices).await;
    assert!(matches!(outcomes[2], Outcome::Refused(_)), "{outcomes:?}");
    let refused = notices.remove(2);
    assert!(outcomes.iter().filter(|outcome| **outcome == Outcome::HandedOver).count() == 4, "{outcomes:?}");
    let arrived = sorted(fixture.arrived(&notifier).await);
    assert_eq!(arrived, keys(&notices));
    assert!(!arrived.contains(&refused.key));
}

/// Several nodes, several batches.
pub async fn batches_at_once_all_arrive(fixture: &impl Notifiers) {
    let notifier = fixture.fresh().await;
    let notices = some(24);
    let outcomes = crate::together(notices.chunks(5).map(|part| notifier.send(part))).await.concat();
    assert_eq!(outcomes, [Outcome::HandedOver; 24]);
    assert_eq!(sorted(fixture.arrived(&notifier).await), keys(&notices));
}
