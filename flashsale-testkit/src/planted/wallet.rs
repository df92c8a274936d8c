//! Wallets with a bug.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use flashsale_core::coupon::{Campaign, Coupon, CouponLedger};
use flashsale_core::error::BackendError;
use flashsale_core::memory::MemoryLedger;
use flashsale_core::payment::{
    Capture, Charge, Fenced, Outcome, PaymentKey, WalletDone, WalletEntry, WalletLedger, WalletRefusal, WalletRequest,
};
use flashsale_core::stock::{
    Accept, Accepted, Adopted, Answers, Cancel, Cancelled, Change, ChangeRefusal, Durability, Epoch, Followed, HoldNo,
    Nonce, StockLedger, Totals, Update, Version,
};
use flashsale_core::{BuyerId, CampaignId, CouponId, Key, ManualClock, Money, OrderId, Sale, SaleId, Timestamp};

use crate::{Fixture, fixture};

/// What is wrong with a wallet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WalletBug {
    /// Nothing.
    Nothing,
    /// A repeated request is done again.
    RepeatIsDoneAgain,
    /// A fence is answered and not written down.
    FenceForgotten,
    /// Money is given back as often as it is asked for.
    GivenBackTwice,
}

/// A memory ledger whose wallet has a bug.
#[derive(Debug)]
pub struct PlantedWallet {
    inner: MemoryLedger,
    bug: WalletBug,
    made_up: AtomicU32,
}

#[async_trait]
impl WalletLedger for PlantedWallet {
    async fn wallet(&self, batch: &[WalletRequest]) -> Result<Vec<Result<WalletDone, WalletRefusal>>, BackendError> {
        if self.bug != WalletBug::RepeatIsDoneAgain {
            return self.inner.wallet(batch).await;
        }
        let renamed = |request: &WalletRequest| {
            let n = self.made_up.fetch_add(1, Ordering::Relaxed);
            let key = Key::new(&format!("made-up-{n}")).expect("a key");
            WalletRequest::new(&request.id.buyer(), &key, request.act.clone())
        };
        self.inner.wallet(&batch.iter().map(renamed).collect::<Vec<_>>()).await
    }

    async fn balance(&self, member: &BuyerId) -> Result<Money, BackendError> {
        self.inner.balance(member).await
    }

    async fn entries(
        &self,
        member: &BuyerId,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<WalletEntry>, BackendError> {
        self.inner.entries(member, before, limit).await
    }

    async fn pay(&self, batch: &[Charge]) -> Result<Vec<Outcome>, BackendError> {
        self.inner.pay(batch).await
    }

    async fn paid(&self, batch: &[PaymentKey]) -> Result<Vec<Option<Outcome>>, BackendError> {
        self.inner.paid(batch).await
    }

    async fn fence(&self, batch: &[PaymentKey]) -> Result<Vec<Fenced>, BackendError> {
        let before = self.inner.snapshot();
        let fenced = self.inner.fence(batch).await?;
        if self.bug == WalletBug::FenceForgotten {
            self.inner.restore(before);
        }
        Ok(fenced)
    }

    async fn settle(&self, seller: &BuyerId, batch: &[Capture]) -> Result<(), BackendError> {
        self.inner.settle(seller, batch).await
    }

    async fn give_back(&self, batch: &[PaymentKey]) -> Result<(), BackendError> {
        self.inner.give_back(batch).await?;
        if self.bug == WalletBug::GivenBackTwice {
            for (key, outcome) in batch.iter().zip(self.inner.paid(batch).await?) {
                let Some(Outcome::Approved { amount, .. }) = outcome else { continue };
                let again =
                    Key::new(&format!("again-{}", self.made_up.fetch_add(1, Ordering::Relaxed))).expect("a key");
                let act = flashsale_core::payment::WalletAct::Charge { amount };
                self.inner.wallet(&[WalletRequest::new(&key.order.buyer(), &again, act)]).await?;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl CouponLedger for PlantedWallet {
    async fn campaigns_put(&self, campaigns: &[Campaign]) -> Result<(), BackendError> {
        self.inner.campaigns_put(campaigns).await
    }

    async fn campaigns(&self) -> Result<Vec<Campaign>, BackendError> {
        self.inner.campaigns().await
    }

    async fn campaign(&self, id: &CampaignId) -> Result<Option<Campaign>, BackendError> {
        self.inner.campaign(id).await
    }

    async fn coupons(&self, ids: &[CouponId]) -> Result<Vec<Option<Coupon>>, BackendError> {
        self.inner.coupons(ids).await
    }

    async fn coupons_of<'a>(
        &self,
        member: &BuyerId,
        after: Option<&'a CouponId>,
        limit: usize,
    ) -> Result<Vec<Coupon>, BackendError> {
        self.inner.coupons_of(member, after, limit).await
    }
}

#[async_trait]
impl StockLedger for PlantedWallet {
    fn durability(&self) -> Durability {
        self.inner.durability()
    }

    async fn open(&self, sale: &Sale) -> Result<Result<(), ChangeRefusal>, BackendError> {
        self.inner.open(sale).await
    }

    async fn sales(&self) -> Result<Vec<SaleId>, BackendError> {
        self.inner.sales().await
    }

    async fn totals(&self, sale: &SaleId) -> Result<Option<Totals>, BackendError> {
        self.inner.totals(sale).await
    }

    async fn adopt(&self, sale: &SaleId, nonce: Nonce, epoch: Epoch) -> Result<Adopted, BackendError> {
        self.inner.adopt(sale, nonce, epoch).await
    }

    async fn answers<'a>(
        &self,
        sale: &SaleId,
        after: Option<&'a OrderId>,
        limit: usize,
    ) -> Result<Answers, BackendError> {
        self.inner.answers(sale, after, limit).await
    }

    async fn accept(&self, sale: &SaleId, batch: &[Accept]) -> Result<Accepted, BackendError> {
        self.inner.accept(sale, batch).await
    }

    async fn cancel(&self, sale: &SaleId, batch: &[Cancel]) -> Result<(Vec<Cancelled>, Option<Update>), BackendError> {
        self.inner.cancel(sale, batch).await
    }

    async fn follow(&self, sale: &SaleId, nonce: Nonce, at: Version, lapsed: HoldNo) -> Result<Followed, BackendError> {
        self.inner.follow(sale, nonce, at, lapsed).await
    }

    async fn change(
        &self,
        sale: &SaleId,
        id: &Key,
        change: &Change,
    ) -> Result<Result<Option<Update>, ChangeRefusal>, BackendError> {
        self.inner.change(sale, id, change).await
    }

    async fn forget(&self, sale: &SaleId, before: Timestamp, limit: usize) -> Result<usize, BackendError> {
        self.inner.forget(sale, before, limit).await
    }
}

/// Makes wallets with this bug.
#[derive(Debug)]
pub struct PlantedWallets {
    clock: Arc<ManualClock>,
    bug: WalletBug,
}

impl PlantedWallets {
    /// A fixture of wallets with this bug.
    #[must_use]
    pub fn with(bug: WalletBug) -> Self {
        Self { clock: fixture::clock(), bug }
    }
}

#[async_trait]
impl Fixture for PlantedWallets {
    type Port = PlantedWallet;

    async fn fresh(&self) -> PlantedWallet {
        let inner = MemoryLedger::new(self.clock.clone(), 1);
        PlantedWallet { inner, bug: self.bug, made_up: AtomicU32::new(0) }
    }

    async fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }
}
