//! Which orders a ledger lost that was put back to an older copy, told by what a gate remembers. Pure.

use std::collections::BTreeMap;

use crate::id::OrderId;
use crate::stock::{OrderState, Settled};

/// An order of which the gate knows more than the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// Which.
    pub id: OrderId,
    /// What its buyer may have been told: where it stood when the gate copied it.
    pub was: OrderState,
    /// Where it stands in the ledger; `None`: it is not there.
    pub is: Option<OrderState>,
}

/// What a gate remembers, from which is taken what the ledger has: the rest is lost.
#[derive(Debug, Clone, Default)]
pub struct Remembered {
    left: BTreeMap<OrderId, Settled>,
    lost: Vec<Lost>,
}

impl Remembered {
    /// Adds what a gate tells; of an order that comes twice the newer stands.
    pub fn add(&mut self, orders: impl IntoIterator<Item = Settled>) {
        for order in orders {
            if self.left.get(&order.id).is_none_or(|known| known.v <= order.v) {
                self.left.insert(order.id.clone(), order);
            }
        }
    }

    /// Takes away what the ledger has. An order that stands there at an older version than the gate copied has lost what became of it; one
    /// with other content is another order.
    pub fn take(&mut self, rows: impl IntoIterator<Item = Settled>) {
        for row in rows {
            let Some(known) = self.left.remove(&row.id) else { continue };
            if row.v < known.v || row.hash != known.hash {
                self.lost.push(Lost { id: known.id, was: known.state, is: Some(row.state) });
            }
        }
    }

    /// Gives what was lost, in order of id: what was not taken is not in the ledger.
    #[must_use]
    pub fn lost(self) -> Vec<Lost> {
        let gone = self.left.into_values().map(|known| Lost { id: known.id, was: known.state, is: None });
        let mut lost: Vec<Lost> = gone.chain(self.lost).collect();
        lost.sort_by(|a, b| a.id.cmp(&b.id));
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ContentHash;

    fn order(id: &str, v: u64, state: OrderState) -> Settled {
        Settled { id: OrderId::new(id).unwrap(), hash: ContentHash(1), state, v }
    }

    #[test]
    fn what_the_gate_knows_and_the_ledger_does_not_is_lost() {
        use OrderState::{Accepted, Cancelled, Confirmed};
        let mut remembered = Remembered::default();
        remembered.add([order("b~1", 2, Accepted), order("a~1", 3, Cancelled), order("c~1", 4, Accepted)]);
        remembered.add([order("d~1", 5, Accepted), order("a~1", 2, Accepted), order("e~1", 5, Accepted)]);
        let other = Settled { hash: ContentHash(2), ..order("e~1", 6, Accepted) };
        let rows = [order("a~1", 2, Accepted), order("b~1", 2, Confirmed), order("x~1", 9, Accepted), other];
        remembered.take(rows);
        let lost = |id: &str, was, is| Lost { id: OrderId::new(id).unwrap(), was, is };
        let expected = [
            lost("a~1", Cancelled, Some(Accepted)),
            lost("c~1", Accepted, None),
            lost("d~1", Accepted, None),
            lost("e~1", Accepted, Some(Accepted)),
        ];
        assert_eq!(remembered.lost(), expected);
    }
}
