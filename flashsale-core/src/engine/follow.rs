//! Follow: carries the ledger's state to the gate. It is confirm, release, restore, adjust and repair in one (protocol 1.4, 7).

use std::sync::Arc;
use std::time::Duration;

use crate::engine::lane::Lane;
use crate::engine::load::PAGE;
use crate::engine::lost;
use crate::error::{BackendError, ErrorKind};
use crate::stock::{Answers, Followed, StockGate, Synced};
use crate::time::Timestamp;

/// How long a node waits for another gate before it takes the sale back.
pub(crate) const SUPERSEDED_FOR: Duration = Duration::from_secs(30);

/// How many lost orders are named in the log.
const LISTED: usize = 20;

/// What one pass over one sale did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pass {
    /// The gate has everything.
    Current,
    /// The gate was brought up to the ledger.
    Carried,
    /// The gate was empty and is loaded now, or was loaded meanwhile.
    Loaded,
    /// Another gate serves the sale, since then.
    Superseded(Timestamp),
}

impl Lane {
    /// One pass. `superseded` is what the last pass said.
    pub(crate) async fn follow(self: &Arc<Self>, superseded: Option<Timestamp>) -> Result<Pass, BackendError> {
        let Some(gate) = &self.street.gate else { return Ok(Pass::Current) };
        if let Some(error) = self.halted() {
            return Err(error);
        }
        let Some(due) = gate.due(&self.sale).await? else {
            self.load_gate().await?;
            return Ok(Pass::Loaded);
        };
        let followed = self.street.ledger.follow(&self.sale, due.nonce, due.version, due.lapsed).await?;
        let mut update = match followed {
            Followed::Current => return Ok(Pass::Current),
            Followed::Update(update) => update,
            Followed::Superseded => {
                let now = self.street.host.now();
                let since = superseded.unwrap_or(now);
                if now.since(since) >= SUPERSEDED_FOR {
                    gate.forget(&self.sale, due.nonce).await?;
                    self.load_gate().await?;
                    return Ok(Pass::Loaded);
                }
                return Ok(Pass::Superseded(since));
            }
            Followed::Rewound => {
                let why = format!("the ledger does not know version {} that the gate copied", due.version.v);
                let error = BackendError::new(ErrorKind::Rewound, "ledger.follow", why);
                self.halt(error.clone());
                // Beside the pass: other sales of this ledger must halt as soon.
                let (lane, gate) = (self.clone(), gate.clone());
                self.street.host.spawn(Box::pin(async move { lane.list_lost(&*gate).await }));
                return Err(error);
            }
        };
        // Answers are harmless early; only the last step moves levels and the version.
        while update.orders.len() > PAGE {
            let orders = update.orders.split_off(update.orders.len() - PAGE);
            let page = Answers { orders, bought: Vec::new(), next: None };
            if gate.answers(&self.sale, due.nonce, &page).await? == Synced::Refused {
                return Ok(Pass::Current);
            }
        }
        gate.sync(&self.sale, &update).await?;
        Ok(Pass::Carried)
    }

    /// Says which orders were lost, as far as the gate knows; the whole list is [`Stock::lost`](crate::engine::Stock::lost).
    async fn list_lost(&self, gate: &dyn StockGate) {
        match lost::lost(gate, &*self.street.ledger, &self.sale).await {
            Ok(lost) => {
                let first: Vec<&str> = lost.iter().take(LISTED).map(|lost| lost.id.as_str()).collect();
                tracing::error!(sale = %self.sale, lost = lost.len(), ?first, "orders that were told are not in the ledger");
            }
            Err(error) => tracing::error!(sale = %self.sale, %error, "which orders were lost is not known yet"),
        }
    }
}
