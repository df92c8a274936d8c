//! What the gate was told of people who wait, and whom it let pass all the same (I14).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flashsale_core::stock::{ItemLevel, Reservation, Reserve, Reserved, Standing};
use flashsale_core::{ItemId, OrderId, SaleId};

/// Notes of a run about its waitlist. A clone is the same ones.
#[derive(Debug, Clone, Default)]
pub struct Marks(Arc<Mutex<Notes>>);

#[derive(Debug, Default)]
struct Notes {
    /// As the gate was told last.
    waiting: BTreeMap<(SaleId, ItemId), bool>,
    /// Holds that were told before: a repeat is no new one.
    held: BTreeSet<(SaleId, u64, u64)>,
    passed: Vec<(OrderId, ItemId)>,
}

impl Marks {
    fn lock(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The gate copied these levels.
    pub(crate) fn copied(&self, sale: &SaleId, items: &[ItemLevel]) {
        let levels = items.iter().map(|level| ((sale.clone(), level.item.clone()), level.waiting));
        self.lock().waiting.extend(levels);
    }

    /// The gate answered; `batch` is what was asked for, in whose name it really was.
    pub(crate) fn reserved(&self, sale: &SaleId, batch: &[Reserve], answer: &Reservation) {
        let Reservation::Answers(answers) = answer else { return };
        let mut notes = self.lock();
        for (request, answer) in batch.iter().zip(answers) {
            let Ok(Reserved::Held(hold)) = answer else { continue };
            let first = notes.held.insert((sale.clone(), hold.epoch.0, hold.no.0));
            if !first || request.standing != Standing::Public {
                continue;
            }
            let waits = |item: &ItemId| notes.waiting.get(&(sale.clone(), item.clone())) == Some(&true);
            if let Some(line) = request.lines.iter().find(|line| waits(&line.item)) {
                let passed = (request.id.clone(), line.item.clone());
                notes.passed.push(passed);
            }
        }
    }

    /// Orders of the public that were held although the gate knew that people wait.
    #[must_use]
    pub fn passed(&self) -> Vec<(OrderId, ItemId)> {
        self.lock().passed.clone()
    }
}
