//! The ports of payment: a gateway to the world that moves money, and the ledger of the wallet.

use std::fmt::Debug;

use async_trait::async_trait;

use crate::error::BackendError;
use crate::id::BuyerId;
use crate::payment::{
    Capture, Charge, Fenced, Moved, Outcome, PaymentKey, WalletDone, WalletEntry, WalletRefusal, WalletRequest,
};
use crate::unit::Money;

/// A payment provider. Every call carries a fixed key and may be repeated; the provider does it once.
///
/// A failure to answer is an `Unknown`, not an error of ours: an implementation maps its timeouts to it. [`BackendError`] is
/// for what keeps the implementation itself from working; the engine treats it as unknown, too.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait PaymentGateway: Debug + Send + Sync {
    /// Charges the buyer, or says what he has to do. A fenced key is declined.
    async fn authorize(&self, charge: &Charge) -> Result<Outcome, BackendError>;

    /// Says what became of a charge. `None`: the provider has never heard of this key (which proves nothing: it may
    /// still arrive; only [`PaymentGateway::cancel`] makes sure).
    async fn lookup(&self, key: &PaymentKey) -> Result<Option<Outcome>, BackendError>;

    /// Fences the key: nothing is charged under it any more, unless it was approved before.
    async fn cancel(&self, key: &PaymentKey) -> Result<Fenced, BackendError>;

    /// Pays the seller of a confirmed order.
    async fn capture(&self, capture: &Capture) -> Result<Moved, BackendError>;

    /// Gives the buyer his money back, all that was approved under the key.
    async fn refund(&self, key: &PaymentKey) -> Result<Moved, BackendError>;
}

/// The rows of the wallet. One call is one transaction for the whole batch.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait WalletLedger: Debug + Send + Sync {
    /// Charges, withdraws and trades, in the order of the batch, each once under its id; a coupon is redeemed in the same
    /// transaction. A refusal changes nothing and is not recorded.
    async fn wallet(&self, batch: &[WalletRequest]) -> Result<Vec<Result<WalletDone, WalletRefusal>>, BackendError>;

    /// The balance of a member; a member without a wallet has nothing.
    async fn balance(&self, member: &BuyerId) -> Result<Money, BackendError>;

    /// The latest `limit` entries of a member with numbers below `before`, latest first.
    async fn entries(
        &self,
        member: &BuyerId,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<WalletEntry>, BackendError>;

    /// Takes the money of orders from the wallets of their buyers. The same key again gets the same answer; a fenced key is
    /// declined.
    async fn pay(&self, batch: &[Charge]) -> Result<Vec<Outcome>, BackendError>;

    /// What became of these keys.
    async fn paid(&self, batch: &[PaymentKey]) -> Result<Vec<Option<Outcome>>, BackendError>;

    /// Fences keys.
    async fn fence(&self, batch: &[PaymentKey]) -> Result<Vec<Fenced>, BackendError>;

    /// Pays `seller` for captured orders; the platform's own wallet funds what coupons took off.
    async fn settle(&self, seller: &BuyerId, batch: &[Capture]) -> Result<(), BackendError>;

    /// Gives the money of these keys back, once each.
    async fn give_back(&self, batch: &[PaymentKey]) -> Result<(), BackendError>;
}
