//! Consume: events of one group, batch by batch; the group's place is kept after the effect. What a consumer cannot take up is
//! set aside after some tries; what waits for a backend waits.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::engine::handler::{Consumer, Failed};
use crate::engine::lane::Street;
use crate::engine::workers::{Board, Pass, Stop};
use crate::error::{BackendError, ErrorKind};
use crate::event::{DeadLetter, DeadLetters, Event, EventSource};

const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_DOUBLINGS: u32 = 6;

pub(crate) struct Consume {
    pub(crate) street: Arc<Street>,
    pub(crate) source: Arc<dyn EventSource>,
    pub(crate) dead: Arc<dyn DeadLetters>,
    pub(crate) consumer: Arc<dyn Consumer>,
}

enum Taken {
    Up(u64),
    Stopped,
}

impl Consume {
    async fn pass(&self, stop: &Stop) -> Result<Taken, BackendError> {
        let (group, most) = (self.consumer.group(), self.street.settings.events_max);
        let Some(delivery) = stop.unless(self.source.poll(group, most)).await else { return Ok(Taken::Stopped) };
        let delivery = delivery?;
        let wanted: Vec<Event> = delivery.events.into_iter().filter(|event| self.consumer.wants(&event.fact)).collect();
        if let Taken::Stopped = self.take_up(stop, &wanted).await? {
            self.source.rewind(group).await?;
            return Ok(Taken::Stopped);
        }
        self.source.commit(group, delivery.position).await?;
        Ok(Taken::Up(wanted.len() as u64))
    }

    /// All of them, or all of them one by one.
    async fn take_up(&self, stop: &Stop, events: &[Event]) -> Result<Taken, BackendError> {
        if events.is_empty() {
            return Ok(Taken::Up(0));
        }
        let mut tries = 0;
        loop {
            tries += 1;
            let failed = match self.consumer.handle(events).await {
                Ok(()) => return Ok(Taken::Up(events.len() as u64)),
                Err(failed) => failed,
            };
            let waits = matches!(&failed, Failed::Backend(error)
                if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Unknown));
            if !waits && events.len() > 1 {
                // One of them is bad: the others must not wait for it.
                for event in events {
                    if let Taken::Stopped = Box::pin(self.take_up(stop, std::slice::from_ref(event))).await? {
                        return Ok(Taken::Stopped);
                    }
                }
                return Ok(Taken::Up(events.len() as u64));
            }
            if !waits && tries >= self.street.settings.consumer_tries {
                self.bury(events, &failed, tries).await?;
                return Ok(Taken::Up(0));
            }
            tracing::debug!(group = self.consumer.group(), %failed, tries, "not taken up yet");
            stop.rest(PAUSE * (1 << tries.min(PAUSE_DOUBLINGS))).await;
            if stop.asked() {
                return Ok(Taken::Stopped);
            }
        }
    }

    async fn bury(&self, events: &[Event], failed: &Failed, tries: u32) -> Result<(), BackendError> {
        let at = self.street.host.now();
        let consumer = self.consumer.group().to_owned();
        let letters: Vec<DeadLetter> = events
            .iter()
            .map(|event| DeadLetter {
                consumer: consumer.clone(),
                reason: failed.to_string(),
                tries,
                at,
                event: event.clone(),
            })
            .collect();
        tracing::error!(group = consumer, events = letters.len(), %failed, "set aside as dead letters");
        self.dead.bury(&letters).await
    }
}

#[async_trait]
impl Pass for Consume {
    fn name(&self) -> String {
        format!("consume:{}", self.consumer.group())
    }

    async fn run(&self, stop: Stop, board: Board) {
        while !stop.asked() {
            let ran = self.pass(&stop).await;
            let now = self.street.host.now();
            match ran {
                Ok(Taken::Stopped) => return,
                Ok(Taken::Up(count)) => board.report(&self.name(), now, Ok(count)),
                Err(error) => {
                    board.report(&self.name(), now, Err(error.to_string()));
                    // What was delivered and not committed comes again.
                    let _ = self.source.rewind(self.consumer.group()).await;
                    stop.rest(PAUSE).await;
                }
            }
        }
    }
}
