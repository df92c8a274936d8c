//! The rule of joining: a pure function of what the transaction read under the lock, shared by every ledger.

use std::collections::HashMap;

use crate::id::{BuyerId, ItemId, SaleId};
use crate::sale::SaleState;
use crate::stock::{Door, ItemTotals};
use crate::time::Timestamp;
use crate::waitlist::{Join, JoinRefusal, Joined, Wish, WishState};

/// What the transaction read, after it had the lock of the sale. [`enter`] keeps its running totals here.
#[derive(Debug)]
pub struct Desk {
    /// The sale.
    pub sale: SaleId,
    /// Its door.
    pub door: Door,
    /// The ledger's time.
    pub now: Timestamp,
    /// The rows of the batch's items.
    pub items: HashMap<ItemId, ItemTotals>,
    /// The last number that was given in each of these lines.
    pub last: HashMap<ItemId, u64>,
    /// The latest wish of each of these members for each of these items.
    pub latest: HashMap<(ItemId, BuyerId), Wish>,
    /// Live units by item and buyer.
    pub bought: HashMap<(ItemId, String), u32>,
}

/// What is to be written.
#[derive(Debug, PartialEq, Eq)]
pub struct Entries {
    /// One per request, in the order of the batch.
    pub answers: Vec<Joined>,
    /// Wishes to insert.
    pub wishes: Vec<Wish>,
    /// Items that are closed to the public from now on.
    pub closed: Vec<ItemId>,
}

/// Decides who joins, in order of arrival.
///
/// For each, the first that applies: unknown item, an open wish of his, a sale that is over, the limit, units that anybody can buy.
/// The lock makes the last one certain (hole 32): a unit that comes back meets the flag, or is seen here.
#[must_use]
pub fn enter(batch: &[Join], desk: &mut Desk) -> Entries {
    let mut entries = Entries { answers: Vec::with_capacity(batch.len()), wishes: vec![], closed: vec![] };
    for join in batch {
        let answer = judge(join, desk);
        if let Joined::Done(wish) = &answer {
            desk.last.insert(wish.item.clone(), wish.number);
            desk.latest.insert((wish.item.clone(), join.member.clone()), wish.clone());
            if let Some(item) = desk.items.get_mut(&wish.item).filter(|item| !item.waiting) {
                item.waiting = true;
                entries.closed.push(wish.item.clone());
            }
            entries.wishes.push(wish.clone());
        }
        entries.answers.push(answer);
    }
    entries
}

fn judge(join: &Join, desk: &Desk) -> Joined {
    let Some(item) = desk.items.get(&join.item) else {
        return Joined::Refused(JoinRefusal::UnknownItem(join.item.clone()));
    };
    let latest = desk.latest.get(&(join.item.clone(), join.member.clone()));
    if let Some(wish) = latest.filter(|wish| wish.state.is_open()) {
        return Joined::Already(wish.clone());
    }
    if desk.door.state == SaleState::Closed || desk.now >= desk.door.window.closes_at {
        return Joined::Refused(JoinRefusal::Closed);
    }
    let have = desk.bought.get(&(join.item.clone(), join.member.as_str().to_owned())).copied().unwrap_or(0);
    let (wants, limit) = (join.units.units(), item.limit.units());
    if u64::from(have) + u64::from(wants) > u64::from(limit) {
        return Joined::Refused(JoinRefusal::Limit { item: join.item.clone(), have, limit });
    }
    if !item.waiting && item.total.saturating_sub(item.allocated) >= wants {
        return Joined::Refused(JoinRefusal::StillAvailable { item: join.item.clone() });
    }
    let turn = latest.map_or(0, |wish| wish.turn) + 1;
    Joined::Done(Wish {
        offer: Wish::name(&desk.sale, &join.item, &join.member, turn),
        sale: desk.sale.clone(),
        item: join.item.clone(),
        number: desk.last.get(&join.item).copied().unwrap_or(0) + 1,
        turn,
        units: join.units,
        state: WishState::Waiting,
        why: None,
        joined_at: desk.now,
        since: desk.now,
        gathers: None,
    })
}
