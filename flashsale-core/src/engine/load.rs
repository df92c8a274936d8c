//! A gate that is new, empty, restarted or failed over: begun, adopted by the ledger, filled, opened (protocol 1.5).

use std::sync::Arc;

use crate::engine::lane::Lane;
use crate::error::BackendError;
use crate::stock::{Adopted, Begun, Nonce, Synced};

/// Decided orders in one page of answers.
pub(crate) const PAGE: usize = 2_000;

impl Lane {
    /// Makes the sale's gate answer. One load at a time per node; nodes agree through the gate's nonce.
    pub(crate) async fn load_gate(self: &Arc<Self>) -> Result<(), BackendError> {
        let Some(gate) = &self.street.gate else { return Ok(()) };
        let ledger = &self.street.ledger;
        let _alone = self.loading.lock().await;
        let nonce = match gate.begin(&self.sale, Nonce(self.street.host.random())).await? {
            Begun::Open(_) => return Ok(()),
            Begun::Loading(nonce) => nonce,
        };
        let Some(totals) = ledger.totals(&self.sale).await? else {
            return Err(BackendError::unavailable("gate.load", "the ledger has no such sale"));
        };
        let load = match ledger.adopt(&self.sale, nonce, totals.epoch).await? {
            Adopted::Yes(load) => load,
            Adopted::Superseded(_) => {
                return Err(BackendError::unavailable("gate.load", "another gate was adopted meanwhile"));
            }
        };
        let mut after = None;
        let mut decided = 0;
        loop {
            let page = ledger.answers(&self.sale, after.as_ref(), PAGE).await?;
            decided += page.orders.len();
            if gate.answers(&self.sale, nonce, &page).await? == Synced::Refused {
                return Err(BackendError::unavailable("gate.load", "the gate was wiped while it was loaded"));
            }
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        // Refused: another node was first with the same load; either way the gate answers now or says so itself.
        let opened = gate.load(&self.sale, &load).await?;
        tracing::info!(sale = %self.sale, epoch = load.epoch.0, v = load.version.v, decided, ?opened, "gate loaded");
        Ok(())
    }
}
