//! Handing over: every row until it is marked, each event id once, history kept (hole 20).

use std::time::Duration;

use flashsale_core::event::{Event, Fact, Outbox, OutboxNo};
use flashsale_core::{OrderId, Timestamp};

use super::{Outboxes, clear, history, kinds, unsent};
use crate::sample::{order, trace};

/// A fact of the payment role, which has no transaction of its own in a ledger.
fn approved(id: &str, attempt: u32) -> Event {
    let id: OrderId = order(id);
    Event {
        subject: id.as_str().to_owned(),
        version: u64::from(attempt),
        sale: None,
        time: Timestamp::from_ms(1_000 + i64::from(attempt)),
        fact: Fact::PaymentUnknown { order: id, attempt },
        trace: None,
    }
}

/// Ten events of one subject, unsent.
async fn ten<F: Outboxes>(fixture: &F) -> F::Port {
    let ledger = fixture.fresh().await;
    let events: Vec<Event> = (1..=10).map(|n| approved("ann~1", n)).collect();
    ledger.put(&events).await.expect("put");
    ledger
}

fn id(n: u32) -> String {
    approved("ann~1", n).id()
}

/// The oldest first, no more than asked for.
pub async fn unsent_rows_come_in_order_of_number(fixture: &impl Outboxes) {
    let ledger = ten(fixture).await;
    let rows = ledger.unsent(None, 4).await.expect("unsent");
    assert_eq!(rows.iter().map(|(_, event)| event.id()).collect::<Vec<_>>(), [id(1), id(2), id(3), id(4)]);
    assert!(rows.windows(2).all(|pair| pair[0].0 < pair[1].0));
    assert!(ledger.unsent(None, 0).await.expect("unsent").is_empty());
}

/// A relay that has some in flight asks for those behind them.
pub async fn unsent_rows_go_on_after_a_number(fixture: &impl Outboxes) {
    let ledger = ten(fixture).await;
    let first = ledger.unsent(None, 4).await.expect("unsent");
    let after = first.last().map(|(no, _)| *no);
    let rows = ledger.unsent(after, 100).await.expect("unsent");
    assert_eq!(rows.len(), 6);
    assert_eq!(rows[0].1.id(), id(5));
    let last = rows.last().map(|(no, _)| *no);
    assert!(ledger.unsent(last, 100).await.expect("unsent").is_empty());
    assert!(ledger.unsent(Some(OutboxNo(u64::MAX)), 100).await.expect("unsent").is_empty());
}

/// Marked once or twice, it is gone from the relay's sight.
pub async fn a_sent_row_does_not_come_again(fixture: &impl Outboxes) {
    let ledger = ten(fixture).await;
    let first: Vec<OutboxNo> = ledger.unsent(None, 4).await.expect("unsent").iter().map(|(no, _)| *no).collect();
    ledger.sent(&first).await.expect("sent");
    ledger.sent(&first).await.expect("sent");
    ledger.sent(&[]).await.expect("sent");
    assert_eq!(unsent(&ledger).await, (5..=10).map(id).collect::<Vec<_>>());
}

/// Hole 20: no cursor: a row that was passed over is still there.
pub async fn rows_are_sent_one_by_one(fixture: &impl Outboxes) {
    let ledger = ten(fixture).await;
    let rows = ledger.unsent(None, 10).await.expect("unsent");
    let some: Vec<OutboxNo> = rows.iter().map(|(no, _)| *no).filter(|no| *no != rows[2].0).collect();
    ledger.sent(&some).await.expect("sent");
    assert_eq!(unsent(&ledger).await, [id(3)]);
}

/// G9: rows exactly once: the event id is the key.
pub async fn an_event_is_put_once(fixture: &impl Outboxes) {
    let ledger = fixture.fresh().await;
    let (one, two) = (approved("ann~1", 1), approved("ann~1", 2));
    ledger.put(&[one.clone(), one.clone()]).await.expect("put");
    ledger.put(&[one, two]).await.expect("put");
    assert_eq!(unsent(&ledger).await, [id(1), id(2)]);
    let again = approved("ann~1", 3);
    let batch = [again];
    crate::together((0..5).map(|_| ledger.put(&batch))).await;
    assert_eq!(unsent(&ledger).await.len(), 3);
}

/// A repeat after the hand-over is the same event; it is not sent a second time.
pub async fn an_event_that_was_sent_is_not_put_again(fixture: &impl Outboxes) {
    let ledger = ten(fixture).await;
    clear(&ledger).await;
    ledger.put(&[approved("ann~1", 4)]).await.expect("put");
    assert!(unsent(&ledger).await.is_empty());
}

/// Subject, version, sale, time, fact and trace, to the byte.
pub async fn an_event_comes_back_as_it_was_put(fixture: &impl Outboxes) {
    let ledger = fixture.fresh().await;
    let facts = [
        Fact::PaymentApproved {
            order: order("ann~1"),
            attempt: 1,
            amount: crate::sample::amount(1_000_000_000_000_000),
            reference: "ref-\"quoted\", ünïcode \u{1F600}".to_owned(),
        },
        Fact::PaymentRefunded { order: order("ann~1"), attempt: 4_000_000_000 },
        Fact::SalePaused {},
    ];
    let mut events: Vec<Event> = facts
        .into_iter()
        .map(|fact| Event { fact, sale: Some(crate::sample::sale_id("drop")), ..approved("ann~1", 1) })
        .collect();
    events[0].trace = Some(trace());
    ledger.put(&events).await.expect("put");
    let rows = ledger.unsent(None, 10).await.expect("unsent");
    assert_eq!(rows.into_iter().map(|(_, event)| event).collect::<Vec<_>>(), events);
}

/// By subject, byte by byte, in order of version whatever the order of arrival.
pub async fn a_history_is_one_subjects_alone(fixture: &impl Outboxes) {
    let ledger = fixture.fresh().await;
    let events = [approved("ann~1", 2), approved("ann~12", 1), approved("Ann~1", 1), approved("ann~1", 1)];
    ledger.put(&events).await.expect("put");
    let his = history(&ledger, "ann~1").await;
    assert_eq!(his.iter().map(|event| event.version).collect::<Vec<_>>(), [1, 2]);
    assert!(his.iter().all(|event| event.subject == "ann~1"));
    assert!(history(&ledger, "nobody~1").await.is_empty());
}

/// Sent rows are the history of their subjects.
pub async fn sent_rows_stay_in_the_history(fixture: &impl Outboxes) {
    let ledger = ten(fixture).await;
    clear(&ledger).await;
    assert_eq!(kinds(&history(&ledger, "ann~1").await), ["payment.unknown"; 10]);
}

/// What is unsent is never deleted, however old; what is sent, only when it is old enough.
pub async fn only_old_sent_rows_are_pruned(fixture: &impl Outboxes) {
    let ledger = ten(fixture).await;
    let first: Vec<OutboxNo> = ledger.unsent(None, 6).await.expect("unsent").iter().map(|(no, _)| *no).collect();
    ledger.sent(&first).await.expect("sent");
    fixture.advance(Duration::from_millis(1)).await;
    assert_eq!(ledger.prune(Timestamp::from_ms(1_000), 100).await.expect("prune"), 0);
    assert_eq!(ledger.prune(Timestamp::from_ms(1_004), 100).await.expect("prune"), 3, "before, not at");
    assert_eq!(ledger.prune(Timestamp::FAR, 100).await.expect("prune"), 3);
    assert_eq!(history(&ledger, "ann~1").await.len(), 4);
    assert_eq!(unsent(&ledger).await.len(), 4);
}

/// A large clean-up is done in steps.
pub async fn pruning_stops_at_its_limit(fixture: &impl Outboxes) {
    let ledger = ten(fixture).await;
    clear(&ledger).await;
    let mut steps = Vec::new();
    for _ in 0..4 {
        steps.push(ledger.prune(Timestamp::FAR, 4).await.expect("prune"));
    }
    assert_eq!(steps, [4, 4, 2, 0]);
}
