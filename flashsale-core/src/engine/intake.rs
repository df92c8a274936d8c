//! What is recorded and not decided yet, as this node knows it: the answers of intake by log, and a bounded memory of them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::engine::lane::Placed;
use crate::order::{Order, Recorded};
use crate::stock::Then;

/// How many records a node remembers: as many as may wait for a place in a batch.
const REMEMBERED: usize = 65_536;

/// What a request that was to be recorded is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// Held and recorded. The ledger has not decided: it may still refuse.
    Recorded(Arc<Recorded>),
    /// The ledger had decided it before: durable.
    Decided(Placed),
}

/// Where a request stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// It is in the log; the ledger has not decided it.
    Recorded(Arc<Recorded>),
    /// The ledger has decided it, one way or the other.
    Decided(Arc<Order>),
}

/// The records that a node knows of, by name: of the order, and of the coupon that a claim asks for. The oldest are forgotten first.
#[derive(Debug, Default)]
pub(crate) struct Register(Mutex<Names>);

#[derive(Debug, Default)]
struct Names {
    records: HashMap<String, Arc<Recorded>>,
    order: VecDeque<String>,
}

impl Register {
    fn names(&self) -> MutexGuard<'_, Names> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a record.
    pub(crate) fn put(&self, record: &Arc<Recorded>) {
        let coupon = match &record.accept.then {
            Then::Issue(coupon) => Some(coupon.id.as_str()),
            _ => None,
        };
        let mut names = self.names();
        for name in [Some(record.id().as_str()), coupon].into_iter().flatten() {
            if names.records.insert(name.to_owned(), record.clone()).is_none() {
                names.order.push_back(name.to_owned());
            }
        }
        while names.order.len() > REMEMBERED {
            if let Some(oldest) = names.order.pop_front() {
                names.records.remove(&oldest);
            }
        }
    }

    /// The record of this name.
    pub(crate) fn of(&self, name: &str) -> Option<Arc<Recorded>> {
        self.names().records.get(name).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{BuyerId, Key, OrderId, SaleId};
    use crate::sale::Lines;
    use crate::stock::Accept;
    use crate::time::Timestamp;

    fn record(n: usize) -> Arc<Recorded> {
        let buyer = BuyerId::new("ann").unwrap();
        let accept = Accept {
            id: OrderId::of(&buyer, &Key::new(&format!("k-{n}")).unwrap()),
            hash: crate::id::ContentHash(1),
            lines: Lines::none(),
            hold: None,
            expect: None,
            coupon: None,
            method: None,
            note: None,
            trace: None,
            then: Then::Keep,
        };
        Arc::new(Recorded { sale: SaleId::new("drop").unwrap(), accept, at: Timestamp::from_ms(0) })
    }

    #[test]
    fn the_oldest_record_is_forgotten_first() {
        let register = Register::default();
        (0..=REMEMBERED).for_each(|n| register.put(&record(n)));
        register.put(&record(7));
        assert_eq!(register.of("ann~k-0"), None);
        assert!(register.of("ann~k-1").is_some() && register.of(&format!("ann~k-{REMEMBERED}")).is_some());
        assert_eq!(register.names().order.len(), REMEMBERED, "a repeat takes no second place");
    }
}
