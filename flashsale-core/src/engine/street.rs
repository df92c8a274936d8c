//! The lanes of an engine, one per sale, built when a sale is first asked for.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::engine::lane::{Lane, Street};
use crate::error::BackendError;
use crate::id::SaleId;

/// All lanes of one engine.
#[derive(Debug)]
pub(crate) struct Lanes {
    pub(crate) street: Arc<Street>,
    lanes: RwLock<BTreeMap<SaleId, Arc<Lane>>>,
}

impl Lanes {
    pub(crate) fn new(street: Arc<Street>) -> Arc<Self> {
        Arc::new(Self { street, lanes: RwLock::default() })
    }

    /// The lane of a sale; `None` if the ledger has no such sale.
    pub(crate) async fn lane(&self, sale: &SaleId) -> Result<Option<Arc<Lane>>, BackendError> {
        if let Some(lane) = self.known(sale) {
            return Ok(Some(lane));
        }
        let Some(terms) = self.street.ledger.totals(sale).await? else { return Ok(None) };
        let built = Arc::new(Lane::new(self.street.clone(), sale.clone(), terms));
        // Two requests may have built one each: the first stays, so that one queue serves the sale.
        let mut lanes = self.lanes.write().unwrap_or_else(PoisonError::into_inner);
        Ok(Some(lanes.entry(sale.clone()).or_insert(built).clone()))
    }

    /// The lane of a sale that was asked for before.
    pub(crate) fn known(&self, sale: &SaleId) -> Option<Arc<Lane>> {
        self.lanes.read().unwrap_or_else(PoisonError::into_inner).get(sale).cloned()
    }

    /// All lanes.
    pub(crate) fn all(&self) -> Vec<Arc<Lane>> {
        self.lanes.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Forgets a lane that has nothing to do any more; the next request builds it anew.
    pub(crate) fn retire(&self, sale: &SaleId) {
        self.lanes.write().unwrap_or_else(PoisonError::into_inner).remove(sale);
    }
}
