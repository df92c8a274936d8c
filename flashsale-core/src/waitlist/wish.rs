//! A wish: one row of the waitlist, what is asked of it, and where it stands.

use serde::{Deserialize, Serialize};

use crate::id::{BuyerId, ContentHash, ItemId, Key, OrderId, SaleId};
use crate::sale::{SaleState, Window};
use crate::stock::{ItemTotals, OrderState, Reason};
use crate::time::Timestamp;
use crate::unit::Quantity;

/// Where a wish stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WishState {
    /// In the line.
    Waiting,
    /// Units are allocated to it until they are taken, declined or lapse.
    Offered,
    /// Taken: it is an accepted order.
    Accepted,
    /// The member, or an operator, gave the offer back.
    Declined,
    /// The offer was not taken in time.
    Lapsed,
    /// Gone without an offer, as [`Parting`] tells.
    Left,
}

impl WishState {
    /// All states.
    pub const ALL: [Self; 6] = [Self::Waiting, Self::Offered, Self::Accepted, Self::Declined, Self::Lapsed, Self::Left];

    /// The stable word for this state.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Offered => "offered",
            Self::Accepted => "accepted",
            Self::Declined => "declined",
            Self::Lapsed => "lapsed",
            Self::Left => "left",
        }
    }

    /// The state of a stable word.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.code() == code)
    }

    /// Whether it waits or is offered: a member has at most one such wish for an item.
    #[must_use]
    pub fn is_open(self) -> bool {
        matches!(self, Self::Waiting | Self::Offered)
    }

    /// What becomes of a wish whose offer was moved on by the saga: the state of the order and its reason tell.
    ///
    /// `None`: it is still offered (I7: the row is `offered` exactly while its order is).
    #[must_use]
    pub fn of(order: OrderState, reason: Option<Reason>) -> Option<Self> {
        match (order, reason) {
            (OrderState::Offered, _) => None,
            (OrderState::Cancelled, Some(Reason::Lapsed)) => Some(Self::Lapsed),
            (OrderState::Cancelled | OrderState::Refused, _) => Some(Self::Declined),
            _ => Some(Self::Accepted),
        }
    }
}

/// Why a wish left the line without an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Parting {
    /// The member did not want to wait any longer.
    Member,
    /// The member has all that he may have.
    BuyerLimit,
    /// The sale is over.
    Closed,
    /// The name of its offer stands for something else.
    KeyReused,
}

impl Parting {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Member, Self::BuyerLimit, Self::Closed, Self::KeyReused];

    /// The stable word.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::BuyerLimit => "buyer_limit",
            Self::Closed => "closed",
            Self::KeyReused => "key_reused",
        }
    }

    /// The one of a stable word.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|why| why.code() == code)
    }
}

/// A wish: a member waits for units of an item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// Its name, and that of the order which an offer of it is: there can be no second one.
    pub offer: OrderId,
    /// The sale.
    pub sale: SaleId,
    /// The item.
    pub item: ItemId,
    /// Its number in the line of the item, from 1, in order of joining. It never changes.
    pub number: u64,
    /// How often this member has joined this line, this time included.
    pub turn: u32,
    /// How many units he wants: all of them, or none.
    pub units: Quantity,
    /// Where it stands.
    pub state: WishState,
    /// Why it left, if it did.
    pub why: Option<Parting>,
    /// When it joined.
    pub joined_at: Timestamp,
    /// When it entered its state.
    pub since: Timestamp,
    /// Since when units are gathered for it, if ever.
    pub gathers: Option<Timestamp>,
}

impl Wish {
    /// The scope in the names of offers.
    pub const SCOPE: &str = "waitlist";

    /// The name of the offer for the `turn`-th wish of a member: made from these alone, so that every node makes the same one.
    #[must_use]
    pub fn name(sale: &SaleId, item: &ItemId, member: &BuyerId, turn: u32) -> OrderId {
        let line = ContentHash::over([sale.as_str().as_bytes(), item.as_str().as_bytes()]);
        let key = Key::new(&format!("{:016x}.{turn}", line.0)).expect("digits, letters and a dot are a key");
        OrderId::scoped(member, Self::SCOPE, &key).expect("the scope is the text of an id")
    }

    /// Whose it is.
    #[must_use]
    pub fn member(&self) -> BuyerId {
        self.offer.buyer()
    }
}

/// Asks for a place in the line of an item.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Join {
    /// Which item.
    pub item: ItemId,
    /// Who.
    pub member: BuyerId,
    /// How many units.
    pub units: Quantity,
}

/// What became of a [`Join`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Joined {
    /// At the end of the line now.
    Done(Wish),
    /// The member has an open wish for this item: this one, for however many units.
    Already(Wish),
    /// Not taken, and nothing written.
    Refused(super::JoinRefusal),
}

/// Asks that a wish leave the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leave {
    /// Which, by the name of its offer.
    pub offer: OrderId,
    /// Why.
    pub why: Parting,
}

/// What became of a [`Leave`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left {
    /// Gone now.
    Done(Wish),
    /// It was in this state already, and not in the line: an offered one is declined instead.
    Already(Wish),
    /// There is no such wish in this sale.
    Unknown,
}

/// A wish and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The wish.
    pub wish: Wish,
    /// How many wishes stand before it in the line; 0 for one that does not wait any more.
    pub ahead: u64,
}

/// An item for which somebody waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sought {
    /// The sale.
    pub sale: SaleId,
    /// Whether the sale sells at all.
    pub state: SaleState,
    /// Its window.
    pub window: Window,
    /// The item.
    pub item: ItemTotals,
}

impl Sought {
    /// Whether nothing can be offered any more.
    #[must_use]
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.state == SaleState::Closed || now >= self.window.closes_at
    }

    /// Units that nobody has.
    #[must_use]
    pub fn free(&self) -> u32 {
        self.item.total.saturating_sub(self.item.allocated)
    }
}
