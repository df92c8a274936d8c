//! Prune: sent events are deleted when their time is over, a bounded number at once.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::engine::lane::Street;
use crate::engine::workers::{Board, Pass, Stop};
use crate::event::Outbox;
use crate::time::Timestamp;

const EVERY: Duration = Duration::from_secs(60);
const AT_ONCE: usize = 1_000;

pub(crate) struct Prune {
    pub(crate) street: Arc<Street>,
    pub(crate) outbox: Arc<dyn Outbox>,
}

#[async_trait]
impl Pass for Prune {
    fn name(&self) -> String {
        "prune".to_owned()
    }

    async fn run(&self, stop: Stop, board: Board) {
        while !stop.asked() {
            let now = self.street.host.now();
            let Some(keep) = self.street.settings.keep_events else { return };
            let keep_ms = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
            let before = Timestamp::from_ms(now.ms().saturating_sub(keep_ms));
            let ran = self.outbox.prune(before, AT_ONCE).await;
            let more = matches!(&ran, Ok(count) if *count == AT_ONCE);
            board.report("prune", now, ran.map(|count| count as u64).map_err(|error| error.to_string()));
            if !more {
                stop.rest(EVERY).await;
            }
        }
    }
}
