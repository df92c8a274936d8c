//! The rule of the next: who is offered what came back. Pure; what it says is checked again under the lock when it is done.

use std::time::Duration;

use crate::id::OrderId;
use crate::stock::ItemTotals;
use crate::time::Timestamp;
use crate::waitlist::{Leave, Parting, Wish};

/// One who waits, and what he has of the item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiter {
    /// His wish.
    pub wish: Wish,
    /// Live units of the item that he has.
    pub have: u32,
}

/// The front of an item's line: the first, and after him those for whom the free units suffice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The ledger's time.
    pub now: Timestamp,
    /// The item.
    pub item: ItemTotals,
    /// In order of number; the first is the first of the line.
    pub waiters: Vec<Waiter>,
}

/// What is to be done for a line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Who is offered units, in order.
    pub offers: Vec<Wish>,
    /// Who leaves the line without an offer.
    pub leaves: Vec<Leave>,
    /// For whom units begin to be gathered.
    pub gathers: Option<OrderId>,
}

/// Says who is offered the free units of a line.
///
/// In order of number, each gets all that he wants, or nothing. Where the first wants more than there is, units are *gathered* for
/// him for at most `gather_for`, once: nobody behind him is offered any. After that he is passed over: he keeps his place, and is
/// offered units as soon as there are enough at once, but those behind him are no longer held up. Only the first can hold
/// up others, so a unit that came back is offered within `gather_for` of the moment at which he became first, if anybody wants it.
/// Who has what he may have by now leaves the line.
#[must_use]
pub fn plan(line: &Line, gather_for: Duration) -> Plan {
    let mut plan = Plan::default();
    let mut free = line.item.total.saturating_sub(line.item.allocated);
    for (n, Waiter { wish, have }) in line.waiters.iter().enumerate() {
        let wants = wish.units.units();
        if u64::from(*have) + u64::from(wants) > u64::from(line.item.limit.units()) {
            plan.leaves.push(Leave { offer: wish.offer.clone(), why: Parting::BuyerLimit });
            // Who is first now is seen by the next look at the line.
            if n == 0 {
                return plan;
            }
        } else if wants <= free {
            free -= wants;
            plan.offers.push(wish.clone());
        } else if n == 0 && free > 0 {
            match wish.gathers {
                None => {
                    plan.gathers = Some(wish.offer.clone());
                    return plan;
                }
                Some(since) if line.now < since.after(gather_for) => return plan,
                Some(_) => {}
            }
        }
    }
    plan
}
