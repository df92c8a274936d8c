//! `Wallet`: a member's money, and the gateway that pays orders with it. Calls become batches: one transaction each.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::engine::batch::Calls;
use crate::engine::host::Host;
use crate::error::{BackendError, Error};
use crate::id::{BuyerId, Key};
use crate::payment::{
    Capture, Charge, Fenced, Moved, Outcome, PaymentGateway, PaymentKey, WalletAct, WalletDone, WalletEntry,
    WalletLedger, WalletRefusal, WalletRequest,
};
use crate::unit::Money;

/// The most calls in one transaction, and the most that may wait.
const BOUNDS: (usize, usize) = (256, 65_536);

/// The wallet of members. A clone is the same one.
#[derive(Clone)]
pub struct Wallet {
    ledger: Arc<dyn WalletLedger>,
    acts: Arc<Calls<WalletRequest, Result<WalletDone, WalletRefusal>>>,
}

impl fmt::Debug for Wallet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wallet").field("ledger", &self.ledger).finish_non_exhaustive()
    }
}

impl Wallet {
    /// The wallet over a ledger.
    #[must_use]
    pub fn new(host: Arc<dyn Host>, ledger: Arc<dyn WalletLedger>) -> Self {
        let rows = ledger.clone();
        let acts = Calls::new("wallet.act", host, BOUNDS, move |batch: Vec<WalletRequest>| {
            let rows = rows.clone();
            async move { rows.wallet(&batch).await }
        });
        Self { ledger, acts }
    }

    /// Puts money in, takes it out, or pays a seller: once per member and key.
    ///
    /// # Errors
    /// [`WalletRefusal`] in its precedence order. A [`BackendError`] means: repeat with the same key.
    ///
    /// # Cancel safety
    /// Dropping the future tears nothing; a repeat under the same key finds the outcome.
    pub async fn act(&self, member: &BuyerId, key: &Key, act: WalletAct) -> Result<WalletDone, Error<WalletRefusal>> {
        self.acts.call(WalletRequest::new(member, key, act)).await?.map_err(Error::Refused)
    }

    /// The balance of a member.
    ///
    /// # Errors
    /// [`BackendError`].
    pub async fn balance(&self, member: &BuyerId) -> Result<Money, BackendError> {
        self.ledger.balance(member).await
    }

    /// The latest entries of a member, latest first.
    ///
    /// # Errors
    /// [`BackendError`].
    pub async fn entries(
        &self,
        member: &BuyerId,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<WalletEntry>, BackendError> {
        self.ledger.entries(member, before, limit).await
    }
}

/// Pays orders from the wallets of their buyers; what a coupon takes off is the platform's to pay.
#[derive(Debug, Clone)]
pub struct WalletGateway {
    pay: Arc<Calls<Charge, Outcome>>,
    paid: Arc<Calls<PaymentKey, Option<Outcome>>>,
    fence: Arc<Calls<PaymentKey, Fenced>>,
    settle: Arc<Calls<Capture, ()>>,
    give_back: Arc<Calls<PaymentKey, ()>>,
}

impl WalletGateway {
    /// A gateway over a wallet's ledger that pays `seller`.
    #[must_use]
    pub fn new(host: &Arc<dyn Host>, ledger: &Arc<dyn WalletLedger>, seller: &BuyerId) -> Self {
        /// One kind of call: its name, and what a batch of it does.
        macro_rules! calls {
            ($name:literal, |$rows:ident, $batch:ident: $Q:ty| $work:expr) => {{
                let rows = ledger.clone();
                Calls::new($name, host.clone(), BOUNDS, move |$batch: Vec<$Q>| {
                    let $rows = rows.clone();
                    async move { $work }
                })
            }};
        }
        let seller = seller.clone();
        let rows = ledger.clone();
        let settle = Calls::new("wallet.settle", host.clone(), BOUNDS, move |batch: Vec<Capture>| {
            let (rows, seller) = (rows.clone(), seller.clone());
            async move { rows.settle(&seller, &batch).await.map(|()| vec![(); batch.len()]) }
        });
        Self {
            pay: calls!("wallet.pay", |rows, batch: Charge| rows.pay(&batch).await),
            paid: calls!("wallet.paid", |rows, batch: PaymentKey| rows.paid(&batch).await),
            fence: calls!("wallet.fence", |rows, batch: PaymentKey| rows.fence(&batch).await),
            settle,
            give_back: calls!("wallet.give_back", |rows, batch: PaymentKey| {
                rows.give_back(&batch).await.map(|()| vec![(); batch.len()])
            }),
        }
    }
}

#[async_trait]
impl PaymentGateway for WalletGateway {
    async fn authorize(&self, charge: &Charge) -> Result<Outcome, BackendError> {
        self.pay.call(charge.clone()).await
    }

    async fn lookup(&self, key: &PaymentKey) -> Result<Option<Outcome>, BackendError> {
        self.paid.call(key.clone()).await
    }

    async fn cancel(&self, key: &PaymentKey) -> Result<Fenced, BackendError> {
        self.fence.call(key.clone()).await
    }

    async fn capture(&self, capture: &Capture) -> Result<Moved, BackendError> {
        self.settle.call(capture.clone()).await.map(|()| Moved::Done)
    }

    async fn refund(&self, key: &PaymentKey) -> Result<Moved, BackendError> {
        self.give_back.call(key.clone()).await.map(|()| Moved::Done)
    }
}
