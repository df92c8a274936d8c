//! The ledger of orders: what the saga needs beside the accepting step.

use std::sync::Arc;

use async_trait::async_trait;

use crate::error::BackendError;
use crate::event::Event;
use crate::id::{BuyerId, OrderId, SaleId};
use crate::stock::{Order, StockLedger, Update};
use crate::time::Timestamp;

/// Whether a transition gives the units and the coupon of an order back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Units {
    /// They stay as they are; the sale is not locked.
    Keep,
    /// They go back in the same transaction, under the sale's lock, at a new version.
    GiveBack,
}

/// A transition of one order: the row as it will be, written only where the row still has the version `expect`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// The version that the row must have.
    pub expect: u32,
    /// The row as it will be; its `ver` is `expect + 1`. The ledger sets `v` where units move.
    pub order: Order,
    /// What happens to its units.
    pub units: Units,
    /// What is told.
    pub events: Vec<Event>,
}

/// What became of an [`Append`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Appended {
    /// Written; the row as it is now.
    Done(Arc<Order>),
    /// The row has another version: load it and decide again.
    Stale,
}

/// Which orders of a buyer to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderQuery {
    /// Whose.
    pub buyer: BuyerId,
    /// Only those decided before this order, which is the last of the page before.
    pub after: Option<OrderId>,
    /// At most so many.
    pub limit: usize,
}

/// The rows of orders. The accepting and cancelling steps are the stock ledger's.
#[async_trait]
pub trait OrderLedger: StockLedger {
    /// Writes transitions of orders of one sale, with their facts, in one transaction. At most one per order.
    ///
    /// A transition whose `expect` does not match is `Stale` and leaves no trace; the others are written.
    async fn append(&self, sale: &SaleId, batch: &[Append]) -> Result<(Vec<Appended>, Option<Update>), BackendError>;

    /// These orders, in the order asked for, and the ledger's time.
    async fn load(&self, ids: &[OrderId]) -> Result<(Vec<Option<Arc<Order>>>, Timestamp), BackendError>;

    /// At most `limit` orders whose `due_at` has come, most overdue first, and the ledger's time.
    async fn due(&self, limit: usize) -> Result<(Vec<Arc<Order>>, Timestamp), BackendError>;

    /// Orders of a buyer, latest first.
    async fn list(&self, query: &OrderQuery) -> Result<Vec<Arc<Order>>, BackendError>;

    /// At most `limit` orders that wait for a person.
    async fn stuck(&self, limit: usize) -> Result<Vec<Arc<Order>>, BackendError>;
}

#[cfg(feature = "mock")]
#[allow(clippy::type_complexity, reason = "the types are those of the port")]
mod mock {
    use super::*;
    use crate::error::BackendError;
    use crate::id::Key;
    use crate::sale::Sale;
    use crate::stock::*;

    mockall::mock! {
        /// A mock of [`OrderLedger`] for an embedder's own tests.
        #[derive(Debug)]
        pub OrderLedger {}

        #[async_trait]
        impl StockLedger for OrderLedger {
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
        impl OrderLedger for OrderLedger {
            async fn append(&self, sale: &SaleId, batch: &[Append]) -> Result<(Vec<Appended>, Option<Update>), BackendError>;
            async fn load(&self, ids: &[OrderId]) -> Result<(Vec<Option<Arc<Order>>>, Timestamp), BackendError>;
            async fn due(&self, limit: usize) -> Result<(Vec<Arc<Order>>, Timestamp), BackendError>;
            async fn list(&self, query: &OrderQuery) -> Result<Vec<Arc<Order>>, BackendError>;
            async fn stuck(&self, limit: usize) -> Result<Vec<Arc<Order>>, BackendError>;
        }
    }
}

#[cfg(feature = "mock")]
pub use mock::MockOrderLedger;
