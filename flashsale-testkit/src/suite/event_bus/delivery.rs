//! Publishing, polling, keeping the place. A sink may return only when every group has committed, so rules publish beside their
//! consumers.

use flashsale_core::Timestamp;
use flashsale_core::event::{Event, EventSink, EventSource, Fact};

use super::Buses;
use crate::sample::{order, trace};

fn event(n: u64) -> Event {
    Event {
        subject: "ann~1".to_owned(),
        version: n,
        sale: None,
        time: Timestamp::from_ms(5),
        fact: Fact::PaymentUnknown { order: order("ann~1"), attempt: 1 },
        trace: None,
    }
}

fn events(numbers: impl IntoIterator<Item = u64>) -> Vec<Event> {
    numbers.into_iter().map(event).collect()
}

/// Takes `n` events of a group, committing each delivery.
async fn take<S: EventSource>(source: &S, group: &str, n: usize) -> Vec<u64> {
    let mut seen = Vec::new();
    while seen.len() < n {
        let delivery = source.poll(group, 100).await.expect("poll");
        seen.extend(delivery.events.iter().map(|event| event.version));
        source.commit(group, delivery.position).await.expect("commit");
    }
    seen
}

/// Subject, version, sale, time, fact and trace.
pub async fn what_is_published_arrives_as_it_was(fixture: &impl Buses) {
    let (sink, source) = fixture.fresh().await;
    source.join("saga");
    let mut batch = events([1, 2]);
    batch[1].trace = Some(trace());
    let consume = async {
        let delivery = source.poll("saga", 10).await.expect("poll");
        source.commit("saga", delivery.position).await.expect("commit");
        delivery.events
    };
    let (published, arrived) = tokio::join!(sink.publish(&batch), consume);
    published.expect("publish");
    assert_eq!(arrived, batch);
}

/// Of one publisher, one after the other.
pub async fn events_arrive_in_the_order_of_publication(fixture: &impl Buses) {
    let (sink, source) = fixture.fresh().await;
    source.join("saga");
    let publish = async {
        for n in 0..10 {
            sink.publish(&events(n * 10..n * 10 + 10)).await.expect("publish");
        }
    };
    let ((), seen) = tokio::join!(publish, take(&source, "saga", 100));
    assert_eq!(seen, (0..100).collect::<Vec<_>>());
}

/// G9: each group for itself.
pub async fn every_group_sees_every_event(fixture: &impl Buses) {
    let (sink, source) = fixture.fresh().await;
    for group in ["saga", "mail", "pages"] {
        source.join(group);
    }
    let batch = events(0..5);
    let (published, saga, mail, pages) = tokio::join!(
        sink.publish(&batch),
        take(&source, "saga", 5),
        take(&source, "mail", 5),
        take(&source, "pages", 5),
    );
    published.expect("publish");
    let all: Vec<u64> = (0..5).collect();
    assert_eq!((saga, mail, pages), (all.clone(), all.clone(), all));
}

/// The rest comes with the next delivery.
pub async fn a_delivery_has_no_more_than_asked_for(fixture: &impl Buses) {
    let (sink, source) = fixture.fresh().await;
    source.join("saga");
    let batch = events(0..5);
    let consume = async {
        let mut seen = Vec::new();
        while seen.len() < 5 {
            let delivery = source.poll("saga", 2).await.expect("poll");
            assert!((1..=2).contains(&delivery.events.len()));
            seen.extend(delivery.events.iter().map(|event| event.version));
            source.commit("saga", delivery.position).await.expect("commit");
        }
        seen
    };
    let (published, seen) = tokio::join!(sink.publish(&batch), consume);
    published.expect("publish");
    assert_eq!(seen, [0, 1, 2, 3, 4]);
}

/// After a commit, only later events come.
pub async fn a_committed_place_is_kept(fixture: &impl Buses) {
    let (sink, source) = fixture.fresh().await;
    source.join("saga");
    let (published, seen) = tokio::join!(async { sink.publish(&events(0..3)).await }, take(&source, "saga", 3));
    published.expect("publish");
    assert_eq!(seen.len(), 3);
    source.rewind("saga").await.expect("rewind");
    let (published, seen) = tokio::join!(async { sink.publish(&events(3..5)).await }, take(&source, "saga", 2));
    published.expect("publish");
    assert_eq!(seen, [3, 4]);
}

/// G9: a consumer that failed before its effect gets the event again.
pub async fn what_was_not_committed_comes_again(fixture: &impl Buses) {
    let (sink, source) = fixture.fresh().await;
    source.join("saga");
    let batch = events(0..3);
    let consume = async {
        let first = source.poll("saga", 10).await.expect("poll");
        source.rewind("saga").await.expect("rewind");
        let again = source.poll("saga", 10).await.expect("poll");
        source.commit("saga", again.position).await.expect("commit");
        (first.events, again.events)
    };
    let (published, (first, again)) = tokio::join!(sink.publish(&batch), consume);
    published.expect("publish");
    assert_eq!(first, again[..first.len()], "from the last committed place");
    assert_eq!(again, batch);
}

/// What was kept is kept: only deliveries after the last commit come again.
pub async fn a_rewind_does_not_undo_a_commit(fixture: &impl Buses) {
    let (sink, source) = fixture.fresh().await;
    source.join("saga");
    let batch = events(0..4);
    let consume = async {
        let first = source.poll("saga", 2).await.expect("poll");
        source.commit("saga", first.position).await.expect("commit");
        source.poll("saga", 2).await.expect("poll");
        source.rewind("saga").await.expect("rewind");
        let done = first.events.len() as u64;
        (done, take(&source, "saga", 4 - first.events.len()).await)
    };
    let (published, (done, rest)) = tokio::join!(sink.publish(&batch), consume);
    published.expect("publish");
    assert_eq!(rest, (done..4).collect::<Vec<_>>());
}

/// One group's commit or rewind moves no other.
pub async fn one_groups_place_is_not_anothers(fixture: &impl Buses) {
    let (sink, source) = fixture.fresh().await;
    source.join("saga");
    source.join("mail");
    let batch = events(0..3);
    let consume = async {
        let saga = take(&source, "saga", 3).await;
        let mail = source.poll("mail", 10).await.expect("poll");
        source.rewind("saga").await.expect("rewind");
        source.commit("mail", mail.position).await.expect("commit");
        (saga, mail.events.len())
    };
    let (published, seen) = tokio::join!(sink.publish(&batch), consume);
    published.expect("publish");
    assert_eq!(seen, (vec![0, 1, 2], 3));
}

/// A poll without events ends with the next publication, not before.
pub async fn a_group_waits_until_there_is_something(fixture: &impl Buses) {
    let (sink, source) = fixture.fresh().await;
    source.join("saga");
    let consume = take(&source, "saga", 1);
    tokio::pin!(consume);
    for _ in 0..10 {
        tokio::select! {
            biased;
            seen = &mut consume => panic!("{seen:?} came out of nothing"),
            () = tokio::task::yield_now() => {}
        }
    }
    let batch = events([7]);
    let (published, seen) = tokio::join!(sink.publish(&batch), consume);
    published.expect("publish");
    assert_eq!(seen, [7]);
}

/// Cancel safety: a consumer that is dropped in the middle of a poll has lost nothing.
pub async fn a_dropped_poll_loses_nothing(fixture: &impl Buses) {
    let (sink, source) = fixture.fresh().await;
    source.join("saga");
    for _ in 0..3 {
        tokio::select! {
            biased;
            delivery = source.poll("saga", 10) => panic!("{delivery:?} came out of nothing"),
            () = tokio::task::yield_now() => {}
        }
    }
    let batch = events(0..3);
    let (published, seen) = tokio::join!(sink.publish(&batch), take(&source, "saga", 3));
    published.expect("publish");
    assert_eq!(seen, [0, 1, 2]);
}

/// A relay that repeats itself after a lost answer: once or twice, never not.
pub async fn an_event_published_twice_is_delivered_at_least_once(fixture: &impl Buses) {
    let (sink, source) = fixture.fresh().await;
    source.join("saga");
    let publish = async {
        sink.publish(&events([1])).await.expect("publish");
        sink.publish(&events([1])).await.expect("publish");
        sink.publish(&events([2])).await.expect("publish");
    };
    let consume = async {
        let mut seen = Vec::new();
        while !seen.contains(&2) {
            let delivery = source.poll("saga", 10).await.expect("poll");
            seen.extend(delivery.events.iter().map(|event| event.version));
            source.commit("saga", delivery.position).await.expect("commit");
        }
        seen
    };
    let ((), seen) = tokio::join!(publish, consume);
    assert!(seen == [1, 2] || seen == [1, 1, 2], "{seen:?}");
}

/// A consumer that starts again joins again, and goes on where it was.
pub async fn joining_again_keeps_the_place(fixture: &impl Buses) {
    let (sink, source) = fixture.fresh().await;
    source.join("saga");
    let batch = events(0..2);
    let consume = async {
        source.poll("saga", 10).await.expect("poll");
        source.join("saga");
        source.rewind("saga").await.expect("rewind");
        take(&source, "saga", 2).await
    };
    let (published, seen) = tokio::join!(sink.publish(&batch), consume);
    published.expect("publish");
    assert_eq!(seen, [0, 1]);
}
