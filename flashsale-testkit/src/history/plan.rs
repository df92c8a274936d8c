//! How a history is recorded: how many clients, how much, of what; and the requests that clients choose from.
//!
//! Owns the figures and their bounds. Does not own the tasks: those are in `record.rs`.

use std::time::Duration;

use flashsale_core::id::ContentHash;
use flashsale_core::stock::{Reserve, Standing};
use flashsale_core::{ItemId, OrderId, SaleId};

use crate::differential::Dice;
use crate::sample;

/// What is recorded.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The sale; the gate must not know it.
    pub sale: SaleId,
    /// Clients that call at once, each one call at a time.
    pub clients: usize,
    /// Requests to make in all, in batches; the calls of followers and readers come on top.
    pub operations: u64,
    /// The largest batch.
    pub batch_max: u64,
    /// Items on sale.
    pub items: usize,
    /// Units of an item at the beginning, and the most that it is restocked to; now and then it is left with next to none.
    pub stock: u32,
    /// How long holds last, by the gate's clock.
    pub hold: Duration,
    /// One call in so many is not waited for: its answer is lost, and it may happen later. Zero: none.
    pub lost_one_in: u64,
}

impl Plan {
    /// Twelve clients, batches of 1 to 64, four items, short holds, one answer lost in forty.
    ///
    /// Twelve calls at once are more than a machine of few cores runs at once, and few enough that the search stays short. Four
    /// items of 300 units are sold out and restocked often, so that a history meets every answer in a few thousand requests.
    #[must_use]
    pub fn of(operations: u64) -> Self {
        Self {
            sale: sample::sale_id("history"),
            clients: 12,
            operations,
            batch_max: 64,
            items: 4,
            stock: 300,
            hold: Duration::from_millis(40),
            lost_one_in: 40,
        }
    }
}

/// Ids that clients and the ledger look back at, counted from the newest.
const RECENT: u64 = 512;
/// Orders of one buyer, one after the other: with limits of 1 to 6 units, some are refused.
const ORDERS_PER_BUYER: u64 = 4;

/// Names and contents of requests. The same number always gives the same order, so that clients meet at it.
#[derive(Debug, Clone)]
pub(super) struct Catalog {
    pub(super) items: Vec<ItemId>,
}

impl Catalog {
    pub(super) fn new(plan: &Plan) -> Self {
        Self { items: (0..plan.items.max(1)).map(|n| sample::item(&format!("item-{n}"))).collect() }
    }

    /// The number of an order that may be asked for when `issued` requests were made: about half of them are new.
    pub(super) fn number(issued: u64, dice: &mut Dice) -> u64 {
        let newest = issued / 2;
        if dice.once_in(12) { dice.roll(newest + 1) } else { newest + dice.roll(RECENT) }
    }

    pub(super) fn id(number: u64) -> OrderId {
        sample::order(&format!("b{}~k{number}", number / ORDERS_PER_BUYER))
    }

    /// The order of a number; now and then with another content under the same id, or as an offer.
    pub(super) fn request(&self, number: u64, dice: &mut Dice) -> Reserve {
        let mut content = Dice::new(number);
        let hash = ContentHash(2 * number + 2 + u64::from(dice.once_in(40)));
        let standing = if dice.once_in(20) { Standing::Offer } else { Standing::Public };
        let first = content.roll(self.items.len() as u64) as usize;
        let mut lines = vec![(self.items[first].as_str(), 1 + content.roll(3))];
        if content.once_in(4) && self.items.len() > 1 {
            lines.push((self.items[(first + 1) % self.items.len()].as_str(), 1 + content.roll(2)));
        }
        if content.once_in(200) {
            lines.push(("unknown", 1));
        }
        Reserve { id: Self::id(number), hash, lines: sample::lines(&lines), standing }
    }
}
