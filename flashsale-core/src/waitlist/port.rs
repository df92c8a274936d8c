//! The ledger of wishes: what the waitlist needs beside the accepting step and the saga's transitions.
//!
//! Every method is one atomic step of the backend, for a whole batch. No method has a default body. An offer is made by
//! [`StockLedger::accept`](crate::stock::StockLedger::accept) with [`Then::Offer`](crate::stock::Then::Offer), which moves the wish in
//! the same transaction; an offer that ends, by [`append`](OrderLedger::append) or
//! [`cancel`](crate::stock::StockLedger::cancel), takes its wish along (I7).

use async_trait::async_trait;

use crate::error::BackendError;
use crate::id::{BuyerId, ItemId, OrderId, SaleId};
use crate::order::OrderLedger;
use crate::stock::Update;
use crate::time::Timestamp;
use crate::waitlist::{Join, Joined, Leave, Left, Line, Place, Sought, Wish};

/// The rows of wishes. A ledger of orders keeps them, because an offer and its wish move in one transaction.
///
/// An item's flag `waiting` is set exactly while a wish for it waits. It changes only under the sale's lock, at a new version.
#[async_trait]
pub trait WaitlistLedger: OrderLedger {
    /// Puts members at the ends of lines, under the sale's lock: one transaction, a number of statements that does not depend on the batch.
    ///
    /// The rule is [`enter`](crate::waitlist::enter()), with its refusals in precedence order; an unknown sale refuses all with
    /// [`UnknownSale`](crate::waitlist::JoinRefusal::UnknownSale). Where an item's first wish joins, that is a version, and the update
    /// says so. Repeating a batch after an unknown outcome is safe: it answers `Already`.
    async fn join(&self, sale: &SaleId, batch: &[Join]) -> Result<(Vec<Joined>, Option<Update>), BackendError>;

    /// Takes wishes out of lines, under the sale's lock. Only one that waits leaves; an offered one stays offered.
    ///
    /// Where an item's last wish leaves, that is a version, and the item is open to the public.
    async fn leave(&self, sale: &SaleId, batch: &[Leave]) -> Result<(Vec<Left>, Option<Update>), BackendError>;

    /// Takes at most `limit` wishes out of the lines of a sale that is over, first come first, with
    /// [`Closed`](crate::waitlist::Parting::Closed); tells how many.
    ///
    /// None of a sale that is not over by the ledger's clock: closed, or past its window.
    async fn end(&self, sale: &SaleId, limit: usize) -> Result<(usize, Option<Update>), BackendError>;

    /// Notes that units are gathered for these wishes from now on. What was noted before stays.
    async fn gather(&self, wishes: &[OrderId]) -> Result<(), BackendError>;

    /// At most `limit` items for which somebody waits, by sale and name, and the ledger's time. One read, without the lock.
    async fn sought(&self, limit: usize) -> Result<(Vec<Sought>, Timestamp), BackendError>;

    /// The front of a line: its first wish, and those for which the free units suffice, at most `limit` in all, in order of number.
    /// `None` if there is no such item. Without the lock.
    async fn line(&self, sale: &SaleId, item: &ItemId, limit: usize) -> Result<Option<Line>, BackendError>;

    /// The latest wish of a member for an item, and how many wait before him. One read, without the lock.
    async fn place(&self, sale: &SaleId, item: &ItemId, member: &BuyerId) -> Result<Option<Place>, BackendError>;

    /// At most `limit` wishes of a member, latest first (by when they joined, then by name, backwards).
    async fn wishes(&self, member: &BuyerId, limit: usize) -> Result<Vec<Wish>, BackendError>;
}

#[cfg(feature = "mock")]
#[allow(clippy::type_complexity, reason = "the types are those of the port")]
mod mock {
    use std::sync::Arc;

    use super::*;
    use crate::id::Key;
    use crate::order::{Append, Appended, OrderQuery};
    use crate::sale::Sale;
    use crate::stock::{
        Accept, Accepted, Adopted, Answers, Cancel, Cancelled, Change, ChangeRefusal, Durability, Epoch, Followed,
        HoldNo, Nonce, Order, StockLedger, Totals, Version,
    };

    mockall::mock! {
        /// A mock of [`WaitlistLedger`] for an embedder's own tests.
        #[derive(Debug)]
        pub WaitlistLedger {}

        #[async_trait]
        impl StockLedger for WaitlistLedger {
            fn durability(&self) -> Durability;
            async fn open(&self, sale: &Sale) -> Result<Result<(), ChangeRefusal>, BackendError>;
            async fn sales(&self) -> Result<Vec<SaleId>, BackendError>;
            async fn totals(&self, sale: &SaleId) -> Result<Option<Totals>, BackendError>;
            async fn adopt(&self, sale: &SaleId, nonce: Nonce, epoch: Epoch) -> Result<Adopted, BackendError>;
            async fn answers<'a>(&self, sale: &SaleId, after: Option<&'a OrderId>, limit: usize) -> Result<Answers, BackendError>;
            async fn accept(&self, sale: &SaleId, batch: &[Accept]) -> Result<Accepted, BackendError>;
            async fn cancel(&self, sale: &SaleId, batch: &[Cancel]) -> Result<(Vec<Cancelled>, Option<Update>), BackendError>;
            async fn follow(&self, sale: &SaleId, nonce: Nonce, version: Version, lapsed: HoldNo) -> Result<Followed, BackendError>;
            async fn change(&self, sale: &SaleId, id: &Key, change: &Change) -> Result<Result<Option<Update>, ChangeRefusal>, BackendError>;
            async fn forget(&self, sale: &SaleId, before: Timestamp, limit: usize) -> Result<usize, BackendError>;
        }

        #[async_trait]
        impl OrderLedger for WaitlistLedger {
            async fn append(&self, sale: &SaleId, batch: &[Append]) -> Result<(Vec<Appended>, Option<Update>), BackendError>;
            async fn load(&self, ids: &[OrderId]) -> Result<(Vec<Option<Arc<Order>>>, Timestamp), BackendError>;
            async fn due(&self, limit: usize) -> Result<(Vec<Arc<Order>>, Timestamp), BackendError>;
            async fn list(&self, query: &OrderQuery) -> Result<Vec<Arc<Order>>, BackendError>;
            async fn stuck(&self, limit: usize) -> Result<Vec<Arc<Order>>, BackendError>;
        }

        #[async_trait]
        impl WaitlistLedger for WaitlistLedger {
            async fn join(&self, sale: &SaleId, batch: &[Join]) -> Result<(Vec<Joined>, Option<Update>), BackendError>;
            async fn leave(&self, sale: &SaleId, batch: &[Leave]) -> Result<(Vec<Left>, Option<Update>), BackendError>;
            async fn end(&self, sale: &SaleId, limit: usize) -> Result<(usize, Option<Update>), BackendError>;
            async fn gather(&self, wishes: &[OrderId]) -> Result<(), BackendError>;
            async fn sought(&self, limit: usize) -> Result<(Vec<Sought>, Timestamp), BackendError>;
            async fn line(&self, sale: &SaleId, item: &ItemId, limit: usize) -> Result<Option<Line>, BackendError>;
            async fn place(&self, sale: &SaleId, item: &ItemId, member: &BuyerId) -> Result<Option<Place>, BackendError>;
            async fn wishes(&self, member: &BuyerId, limit: usize) -> Result<Vec<Wish>, BackendError>;
        }
    }
}

#[cfg(feature = "mock")]
pub use mock::MockWaitlistLedger;
