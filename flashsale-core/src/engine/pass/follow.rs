//! The follow pass: all lanes of this node, again and again; and once a minute the sales that another node may have left alone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::engine::follow::Pass as Did;
use crate::engine::street::Lanes;
use crate::engine::workers::{Board, Pass, Stop};
use crate::error::BackendError;
use crate::id::SaleId;
use crate::time::Timestamp;

/// How often sales are looked for that this node was not asked for.
const LOOK_AROUND: Duration = Duration::from_secs(60);
/// How soon that is done again after it failed: a gate that was down at the start of this node may hold what nobody else lets lapse.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How long after its end a sale without holds keeps its lane.
const RETIRE_AFTER: Duration = Duration::from_secs(120);

pub(crate) struct Follow {
    lanes: Arc<Lanes>,
}

impl Follow {
    pub(crate) fn new(lanes: Arc<Lanes>) -> Self {
        Self { lanes }
    }

    /// One pass over all lanes; tells how many gates moved.
    async fn pass(&self, superseded: &mut BTreeMap<SaleId, Timestamp>) -> Result<u64, BackendError> {
        let mut moved = 0;
        let mut failed = None;
        for lane in self.lanes.all() {
            match lane.follow(superseded.get(&lane.sale).copied()).await {
                Ok(Did::Superseded(since)) => {
                    superseded.insert(lane.sale.clone(), since);
                }
                Ok(did) => {
                    superseded.remove(&lane.sale);
                    moved += u64::from(did != Did::Current);
                    if did == Did::Current {
                        self.retire(&lane.sale, lane.terms.door.window.closes_at).await?;
                    }
                }
                // One sale's trouble does not stop the others.
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(moved), Err)
    }

    /// Lets go of a sale that is over. Its window may have been moved since the lane was built: the gate knows.
    async fn retire(&self, sale: &SaleId, closes_at: Timestamp) -> Result<(), BackendError> {
        let street = &self.lanes.street;
        if street.host.now() < closes_at.after(RETIRE_AFTER) {
            return Ok(());
        }
        let Some(totals) = street.ledger.totals(sale).await? else { return Ok(()) };
        let Some(gate) = &street.gate else { return Ok(()) };
        let level = gate.level(sale).await?;
        if level.holds == 0 && street.host.now() >= totals.door.window.closes_at.after(RETIRE_AFTER) {
            self.lanes.retire(sale);
        }
        Ok(())
    }

    /// Builds lanes for sales whose gate answers though nobody asked this node for them: another node may be gone, its holds must
    /// lapse, and what the ledger gave back must come to sale.
    async fn look_around(&self) -> Result<(), BackendError> {
        let street = &self.lanes.street;
        let Some(gate) = &street.gate else { return Ok(()) };
        for sale in street.ledger.sales().await? {
            if self.lanes.known(&sale).is_none() && gate.due(&sale).await?.is_some() {
                self.lanes.lane(&sale).await?;
            }
        }
        Ok(())
    }
}

/// When to look around next.
fn next_look(now: Timestamp, looked: &Result<(), BackendError>) -> Timestamp {
    now.after(if looked.is_ok() { LOOK_AROUND } else { LOOK_AGAIN })
}

#[async_trait]
impl Pass for Follow {
    fn name(&self) -> String {
        "follow".to_owned()
    }

    async fn run(&self, stop: Stop, board: Board) {
        let street = &self.lanes.street;
        let mut superseded = BTreeMap::new();
        let mut look_at = Timestamp::from_ms(0);
        while !stop.asked() {
            let now = street.host.now();
            let mut around = Ok(());
            if now >= look_at {
                around = self.look_around().await;
                look_at = next_look(now, &around);
            }
            // What was not found does not stop what is known.
            let passed = self.pass(&mut superseded).await;
            let ran = around.and(passed);
            board.report(&self.name(), now, ran.map_err(|error| error.to_string()));
            stop.rest(street.settings.follow_every).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_around_that_failed_is_repeated_soon() {
        let now = Timestamp::from_ms(1_000_000);
        let failed = Err(BackendError::unavailable("gate.due", "the gate is down"));
        assert_eq!(next_look(now, &Ok(())), now.after(LOOK_AROUND));
        assert!(next_look(now, &failed) <= now.after(Duration::from_secs(1)));
    }
}
