//! Lists what a ledger lost that was put back to an older copy: asks the gate what it remembers, and the ledger what it has.

use crate::engine::load::PAGE;
use crate::error::BackendError;
use crate::id::SaleId;
use crate::stock::{Lost, Remembered, StockGate, StockLedger};

/// The orders of a sale of which the gate knows more than the ledger, in order of id.
///
/// None in a ledger that was not put back, for a gate copies only what the ledger has. What was accepted a moment before the loss and not copied yet
/// is not among them: the events that left the ledger tell of that. Reads all decided orders of the sale.
pub(crate) async fn lost(
    gate: &dyn StockGate,
    ledger: &dyn StockLedger,
    sale: &SaleId,
) -> Result<Vec<Lost>, BackendError> {
    let mut remembered = Remembered::default();
    let mut cursor = 0;
    loop {
        let page = gate.recall(sale, cursor).await?;
        remembered.add(page.orders);
        match page.next {
            Some(next) => cursor = next,
            None => break,
        }
    }
    let mut after = None;
    loop {
        let page = ledger.answers(sale, after.as_ref(), PAGE).await?;
        remembered.take(page.orders);
        after = page.next;
        if after.is_none() {
            return Ok(remembered.lost());
        }
    }
}
