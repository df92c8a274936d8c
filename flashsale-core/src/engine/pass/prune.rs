//! Prune: sent events and old versions are forgotten when their time is over, a bounded number at once. Orders never are.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::engine::lane::Street;
use crate::engine::workers::{Board, Pass, Stop};
use crate::error::BackendError;
use crate::event::Outbox;
use crate::time::Timestamp;

const EVERY: Duration = Duration::from_secs(60);
/// How often the versions of all sales are gone through: there may be many sales, and little is old within an hour.
const VERSIONS_EVERY: Duration = Duration::from_secs(3_600);
const AT_ONCE: usize = 1_000;

pub(crate) struct Prune {
    pub(crate) street: Arc<Street>,
    pub(crate) outbox: Arc<dyn Outbox>,
}

fn ago(now: Timestamp, keep: Duration) -> Timestamp {
    let keep_ms = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_ms(now.ms().saturating_sub(keep_ms))
}

impl Prune {
    async fn events(&self, now: Timestamp, stop: &Stop) -> Result<u64, BackendError> {
        let Some(keep) = self.street.settings.keep_events else { return Ok(0) };
        let mut all = 0;
        while !stop.asked() {
            let count = self.outbox.prune(ago(now, keep), AT_ONCE).await?;
            all += count as u64;
            if count < AT_ONCE {
                break;
            }
        }
        Ok(all)
    }

    async fn versions(&self, now: Timestamp, stop: &Stop) -> Result<u64, BackendError> {
        let before = ago(now, self.street.settings.keep_versions);
        let mut all = 0;
        for sale in self.street.ledger.sales().await? {
            while !stop.asked() {
                let count = self.street.ledger.forget(&sale, before, AT_ONCE).await?;
                all += count as u64;
                if count < AT_ONCE {
                    break;
                }
            }
        }
        Ok(all)
    }
}

#[async_trait]
impl Pass for Prune {
    fn name(&self) -> String {
        "prune".to_owned()
    }

    async fn run(&self, stop: Stop, board: Board) {
        let mut versions_at = Timestamp::from_ms(0);
        while !stop.asked() {
            let now = self.street.host.now();
            let mut ran = self.events(now, &stop).await;
            if now >= versions_at {
                let forgot = self.versions(now, &stop).await;
                // What failed is tried again with the events.
                versions_at = now.after(if forgot.is_ok() { VERSIONS_EVERY } else { EVERY });
                ran = ran.and_then(|events| forgot.map(|versions| events + versions));
            }
            board.report("prune", now, ran.map_err(|error| error.to_string()));
            stop.rest(EVERY).await;
        }
    }
}
