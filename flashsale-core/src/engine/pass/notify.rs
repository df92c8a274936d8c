//! Notify: hands the notices that wait to the notifier, batch by batch, and writes what became of each.
//!
//! A notice is taken under a lease, so that several nodes share the work and one that dies loses nothing. One that cannot go now comes again
//! later and later, and keeps no other from going; one that never can is a fact, `notice.failed`. What an offer waits for is told
//! before the notice is forgotten (hole 34).

use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{self, Either};

use crate::engine::notices::{Desk, outcome_fact};
use crate::engine::workers::{Board, Pass, Stop};
use crate::error::BackendError;
use crate::event::Event;
use crate::id::OrderId;
use crate::notice::{Notice, NoticeKey, Outcome, Settled, Taken, Unsendable};
use crate::time::Timestamp;

/// How often the rows are looked at when nobody said that there are new ones.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The longest that a notifier may take for a batch.
const SEND_MAX: Duration = Duration::from_secs(60);
/// How long a notice that was taken is nobody else's: longer than an attempt and the writing after it.
const LEASE: Duration = Duration::from_secs(180);
/// How long a batch under way is waited for at a stop; it comes again otherwise.
const STOP_PATIENCE: Duration = Duration::from_secs(5);
/// The pause after the first attempt that was too early; it doubles up to [`LATEST`].
const SOONEST: Duration = Duration::from_secs(5);
/// An offer should not wait longer than this for a notifier that is back.
const LATEST: Duration = Duration::from_secs(300);
/// The pause after a batch of which nothing went; it doubles up to [`SICK_MAX`].
const SICK: Duration = Duration::from_secs(1);
const SICK_MAX: Duration = Duration::from_secs(30);
/// The pause of writes that failed.
const PAUSE: Duration = Duration::from_millis(50);

pub(crate) struct Notify(pub(crate) Desk);

/// When a notice whose attempt number `tries` was too early is tried again.
fn again(tries: u32, now: Timestamp) -> Timestamp {
    now.after(SOONEST.saturating_mul(1 << tries.saturating_sub(1).min(16)).min(LATEST))
}

/// What becomes of a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    HandedOver,
    Failed(Unsendable),
    Later(Timestamp),
}

/// What becomes of a notice, by what the notifier said of it.
fn fate(taken: &Taken, outcome: Outcome, now: Timestamp, patience: Duration) -> Fate {
    match outcome {
        Outcome::HandedOver => Fate::HandedOver,
        Outcome::Refused(why) => Fate::Failed(why),
        Outcome::NotNow if now.since(taken.notice.at) >= patience => Fate::Failed(Unsendable::GaveUp),
        Outcome::NotNow => Fate::Later(again(taken.tries, now)),
    }
}

/// How a batch went, in notices.
#[derive(Debug, Default)]
struct Went {
    over: u64,
    failed: u64,
    later: u64,
}

/// What is to be written about a batch.
#[derive(Debug, Default)]
struct Record {
    offers: Vec<OrderId>,
    facts: Vec<Event>,
    settled: Vec<(NoticeKey, Settled)>,
}

impl Notify {
    /// What the notifier says of each; whatever has no answer in time is not now.
    async fn send(&self, stop: &Stop, taken: &[Taken]) -> Vec<Outcome> {
        let host = &self.0.street.host;
        let notices: Vec<Notice> = taken.iter().map(|taken| taken.notice.clone()).collect();
        let patience = async {
            let stopped = async {
                stop.wanted().await;
                host.sleep(STOP_PATIENCE).await;
            };
            future::select(std::pin::pin!(stopped), host.sleep(SEND_MAX)).await;
        };
        let send = self.0.notifier.send(&notices);
        let mut outcomes = match future::select(send, std::pin::pin!(patience)).await {
            Either::Left((outcomes, _)) => outcomes,
            Either::Right(_) => Vec::new(),
        };
        outcomes.resize(taken.len(), Outcome::NotNow);
        outcomes
    }

    /// Repeats a write until it is done; given up at a stop.
    async fn write<T>(&self, stop: &Stop, mut write: impl FnMut() -> T) -> Result<(), BackendError>
    where
        T: Future<Output = Result<(), BackendError>>,
    {
        loop {
            match write().await {
                Err(error) if !stop.asked() => {
                    tracing::warn!(%error, "what became of notices is not written yet");
                    stop.rest(PAUSE).await;
                }
                done => return done,
            }
        }
    }

    /// Tells whoever waits, then the facts, then forgets: whatever is not done comes again when its lease ends.
    async fn record(&self, stop: &Stop, record: Record) -> Result<(), BackendError> {
        let (Self(desk), Record { offers, facts, settled }) = (self, record);
        if !offers.is_empty() {
            self.write(stop, || desk.told.handed_over(&offers)).await?;
        }
        if !facts.is_empty() {
            self.write(stop, || desk.outbox.put(&facts)).await?;
            desk.street.told.notify_one();
        }
        self.write(stop, || desk.to_tell.settle(&settled)).await
    }

    /// One batch: hand over, and write what became of each.
    async fn batch(&self, stop: &Stop, taken: Vec<Taken>) -> Result<Went, BackendError> {
        let street = &self.0.street;
        let outcomes = self.send(stop, &taken).await;
        let (now, patience) = (street.host.now(), street.settings.notice_patience);
        let (mut went, mut record) = (Went::default(), Record::default());
        for (taken, outcome) in taken.iter().zip(outcomes) {
            let notice = &taken.notice;
            let settled = match fate(taken, outcome, now, patience) {
                Fate::HandedOver => {
                    went.over += 1;
                    record.offers.extend(notice.message.offer().cloned());
                    record.facts.push(outcome_fact(notice, None, street));
                    Settled::Gone
                }
                Fate::Failed(why) => {
                    tracing::warn!(notice = %notice.key, why = why.code(), "a notice will not be handed over");
                    went.failed += 1;
                    record.facts.push(outcome_fact(notice, Some(why), street));
                    Settled::Gone
                }
                Fate::Later(at) => {
                    went.later += 1;
                    Settled::Later(at)
                }
            };
            record.settled.push((notice.key.clone(), settled));
        }
        self.record(stop, record).await.map(|()| went)
    }
}

#[async_trait]
impl Pass for Notify {
    fn name(&self) -> String {
        "notify".to_owned()
    }

    async fn run(&self, stop: Stop, board: Board) {
        let Self(desk) = self;
        let most = desk.street.settings.notices_max;
        let mut sick = SICK;
        while !stop.asked() {
            let taken = match desk.to_tell.take(most, LEASE).await {
                Ok(taken) => taken,
                Err(error) => {
                    board.report("notify", desk.street.host.now(), Err(error.to_string()));
                    stop.rest(LOOK_EVERY).await;
                    continue;
                }
            };
            if taken.is_empty() {
                let kept = std::pin::pin!(desk.kept.notified());
                stop.unless(future::select(kept, desk.street.host.sleep(LOOK_EVERY))).await;
                continue;
            }
            let went = self.batch(&stop, taken).await;
            let now = desk.street.host.now();
            let why = match went {
                Ok(went) if went.over + went.failed > 0 => {
                    sick = SICK;
                    board.report("notify", now, Ok(went.over));
                    continue;
                }
                Ok(went) => format!("{} notices cannot be handed over now", went.later),
                Err(error) => error.to_string(),
            };
            // Whoever carries notices is down: the rows wait, and so does this pass.
            board.report("notify", now, Err(why));
            stop.rest(sick).await;
            sick = (sick * 2).min(SICK_MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notice::Message;

    fn taken(tries: u32) -> Taken {
        let message = Message::OrderReturned { order: "ann~1".parse().unwrap() };
        let at = Timestamp::from_ms(1_000);
        let notice =
            Notice { key: NoticeKey::new("ann~1/3/order.returned").unwrap(), to: "ann".parse().unwrap(), at, message };
        Taken { notice, tries }
    }

    #[test]
    fn a_notice_is_tried_later_and_later_but_never_later_than_minutes() {
        let waits: Vec<u64> = [1, 2, 3, 6, 7, 8, 40, u32::MAX]
            .map(|tries| again(tries, Timestamp::from_ms(0)).ms() as u64 / 1_000)
            .to_vec();
        assert_eq!(waits, [5, 10, 20, 160, 300, 300, 300, 300]);
    }

    #[test]
    fn a_notice_that_cannot_go_for_too_long_is_given_up() {
        let patience = Duration::from_secs(10);
        let at = |ms| fate(&taken(3), Outcome::NotNow, Timestamp::from_ms(ms), patience);
        assert_eq!(at(10_999), Fate::Later(Timestamp::from_ms(30_999)));
        assert_eq!(at(11_000), Fate::Failed(Unsendable::GaveUp));
        let over = fate(&taken(1), Outcome::HandedOver, Timestamp::from_ms(99_000), patience);
        assert_eq!(over, Fate::HandedOver, "late is not failed");
    }
}
