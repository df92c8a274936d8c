//! The relay: outbox rows to the bus, at least once; a row is cleared only after the bus has it.
//!
//! Several batches are under way at once, so that one slow consumer does not stop the facts behind it. A row that becomes visible
//! late, with a smaller number, is found by looking at all unsent rows again (hole 20).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{self, Either};
use futures_util::stream::{FuturesUnordered, StreamExt};

use crate::engine::lane::Street;
use crate::engine::workers::{Board, Pass, Stop};
use crate::error::{BackendError, ErrorKind};
use crate::event::{Event, EventSink, Outbox, OutboxNo};
use crate::time::Timestamp;

/// Batches under way at once.
const WINDOW: usize = 8;
/// How often all unsent rows are looked at, not only those above the last one seen.
const LOOK_BACK: Duration = Duration::from_secs(1);

pub(crate) struct Relay {
    street: Arc<Street>,
    outbox: Arc<dyn Outbox>,
    sink: Arc<dyn EventSink>,
}

impl Relay {
    pub(crate) fn new(street: Arc<Street>, outbox: Arc<dyn Outbox>, sink: Arc<dyn EventSink>) -> Self {
        Self { street, outbox, sink }
    }

    async fn send(&self, rows: Vec<(OutboxNo, Event)>) -> (Vec<OutboxNo>, Result<(), BackendError>) {
        let (numbers, events): (Vec<OutboxNo>, Vec<Event>) = rows.into_iter().unzip();
        let sent = self.send_parts(&numbers, &events).await;
        (numbers, sent)
    }

    /// Sends a batch; where the bus refuses one of it for good, by halves, so that the others do not stay with it.
    async fn send_parts(&self, numbers: &[OutboxNo], events: &[Event]) -> Result<(), BackendError> {
        match self.sink.publish(events).await {
            Ok(()) => self.outbox.sent(numbers).await,
            Err(error) if matches!(error.kind(), ErrorKind::Data | ErrorKind::Misconfigured) && events.len() > 1 => {
                let half = events.len() / 2;
                let first = Box::pin(self.send_parts(&numbers[..half], &events[..half])).await;
                let second = Box::pin(self.send_parts(&numbers[half..], &events[half..])).await;
                first.and(second)
            }
            Err(error) => Err(error),
        }
    }
}

#[async_trait]
impl Pass for Relay {
    fn name(&self) -> String {
        "relay".to_owned()
    }

    async fn run(&self, stop: Stop, board: Board) {
        let (host, settings) = (&self.street.host, &self.street.settings);
        let mut under_way = FuturesUnordered::new();
        let mut numbers: BTreeSet<OutboxNo> = BTreeSet::new();
        let mut after: Option<OutboxNo> = None;
        let mut looked_back = Timestamp::from_ms(0);
        loop {
            // The last relay: what is under way is finished, nothing new is begun.
            if stop.asked() {
                let finish = async { while under_way.next().await.is_some() {} };
                let patience = host.sleep(Duration::from_secs(1));
                future::select(std::pin::pin!(finish), patience).await;
                return;
            }
            let mut idle = true;
            if under_way.len() < WINDOW {
                let now = host.now();
                let back = now.since(looked_back) >= LOOK_BACK;
                let room = settings.events_max + if back { numbers.len() } else { 0 };
                match self.outbox.unsent(after.filter(|_| !back), room).await {
                    Ok(mut rows) => {
                        if back {
                            looked_back = now;
                        }
                        rows.retain(|(no, _)| !numbers.contains(no));
                        // What was cleared this moment left room for more than a batch.
                        rows.truncate(settings.events_max);
                        if let Some((last, _)) = rows.last() {
                            after = after.max(Some(*last));
                            idle = false;
                            numbers.extend(rows.iter().map(|(no, _)| *no));
                            under_way.push(self.send(rows));
                        }
                    }
                    Err(error) => board.report("relay", now, Err(error.to_string())),
                }
            }
            // Wait for the first of: a batch is through; facts were told; it is time to look again; stop.
            let news = async {
                if idle {
                    let told = std::pin::pin!(self.street.told.notified());
                    stop.unless(future::select(told, host.sleep(settings.relay_every))).await;
                } else {
                    crate::engine::batch::give_way().await;
                }
            };
            let mut news = std::pin::pin!(news);
            let mut ended = None;
            if under_way.is_empty() {
                news.await;
            } else if under_way.len() >= WINDOW {
                ended = stop.unless(under_way.next()).await.flatten();
            } else if let Either::Left((done, _)) = future::select(under_way.next(), &mut news).await {
                ended = done;
            }
            if let Some((done, sent)) = ended {
                let count = done.len() as u64;
                for no in &done {
                    numbers.remove(no);
                }
                if let Err(error) = &sent {
                    // They are unsent still: look at all of them again, not at once.
                    after = None;
                    let _ = error;
                    stop.rest(settings.relay_every).await;
                }
                board.report("relay", host.now(), sent.map(|()| count).map_err(|error| error.to_string()));
            }
        }
    }
}
