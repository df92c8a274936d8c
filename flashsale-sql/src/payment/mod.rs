//! `WalletLedger` on SQL: balances and movements ([`till`]), requests ([`wallet`](mod@wallet)), payments of orders ([`keys`]).
//!
//! One call is one transaction: what it needs is read at once, decided in the order of the batch with running balances, and
//! written at once.

mod keys;
mod till;
mod wallet;

use std::sync::Arc;

use async_trait::async_trait;
use flashsale_core::error::BackendError;
use flashsale_core::payment::{
    Capture, Charge, EntryKind, Fenced, Outcome, PaymentKey, WalletDone, WalletEntry, WalletLedger, WalletRefusal,
    WalletRequest,
};
use flashsale_core::{BuyerId, Money};

use crate::ledger::{Backend, SqlLedger};
use crate::order::most;
use crate::tx::{Fault, Row, Tx};
use crate::value::Value;

fn minor(amount: Money) -> i64 {
    // Bounded by Money::MAX, which is far below.
    amount.minor().cast_signed()
}

/// What an account shows: an account in debt has nothing.
fn shown(balance: i64) -> Money {
    u64::try_from(balance).map_or(Money::ZERO, |minor| Money::new(minor).unwrap_or(Money::MAX))
}

async fn balance(mut tx: Tx<'_>, member: BuyerId) -> Result<Money, Fault> {
    let row = tx.row("SELECT balance FROM wallet WHERE member = ?", vec![member.as_str().into()]).await?;
    row.map_or(Ok(Money::ZERO), |row| Ok(shown(row.fields().int()?)))
}

async fn entries(mut tx: Tx<'_>, member: BuyerId, before: i64, limit: Value) -> Result<Vec<WalletEntry>, Fault> {
    let text = "SELECT no, member, kind, amount, balance, cause, at FROM wallet_entry \
                WHERE member = ? AND no < ? ORDER BY no DESC LIMIT ?";
    let rows = tx.rows(text, vec![member.as_str().into(), before.into(), limit]).await?;
    let one = |row: &Row| {
        let mut row = row.fields();
        Ok(WalletEntry {
            no: row.number()?,
            member: row.id()?,
            kind: row.word(EntryKind::from_code)?,
            amount: row.int()?,
            balance: row.checked()?,
            cause: row.text()?.to_owned(),
            at: row.time()?,
        })
    };
    rows.iter().map(one).collect()
}

#[async_trait]
impl<D: Backend> WalletLedger for SqlLedger<D> {
    async fn wallet(&self, batch: &[WalletRequest]) -> Result<Vec<Result<WalletDone, WalletRefusal>>, BackendError> {
        let batch: Arc<[WalletRequest]> = batch.into();
        self.write_first("wallet.wallet", move |tx| Box::pin(wallet::wallet(tx, batch.clone()))).await
    }

    async fn balance(&self, member: &BuyerId) -> Result<Money, BackendError> {
        let member = member.clone();
        self.look("wallet.balance", move |tx| Box::pin(balance(tx, member.clone()))).await
    }

    async fn entries(
        &self,
        member: &BuyerId,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<WalletEntry>, BackendError> {
        let before = before.and_then(|no| i64::try_from(no).ok()).unwrap_or(i64::MAX);
        let member = member.clone();
        self.look("wallet.entries", move |tx| Box::pin(entries(tx, member.clone(), before, most(limit)))).await
    }

    async fn pay(&self, batch: &[Charge]) -> Result<Vec<Outcome>, BackendError> {
        let batch: Arc<[Charge]> = batch.into();
        self.write("wallet.pay", move |tx| Box::pin(keys::pay(tx, batch.clone()))).await
    }

    async fn paid(&self, batch: &[PaymentKey]) -> Result<Vec<Option<Outcome>>, BackendError> {
        let batch: Arc<[PaymentKey]> = batch.into();
        self.look("wallet.paid", move |tx| Box::pin(keys::paid(tx, batch.clone()))).await
    }

    async fn fence(&self, batch: &[PaymentKey]) -> Result<Vec<Fenced>, BackendError> {
        let batch: Arc<[PaymentKey]> = batch.into();
        self.write("wallet.fence", move |tx| Box::pin(keys::fence(tx, batch.clone()))).await
    }

    async fn settle(&self, seller: &BuyerId, batch: &[Capture]) -> Result<(), BackendError> {
        let (seller, batch): (BuyerId, Arc<[Capture]>) = (seller.clone(), batch.into());
        self.write("wallet.settle", move |tx| Box::pin(keys::settle(tx, seller.clone(), batch.clone()))).await
    }

    async fn give_back(&self, batch: &[PaymentKey]) -> Result<(), BackendError> {
        let batch: Arc<[PaymentKey]> = batch.into();
        self.write("wallet.give_back", move |tx| Box::pin(keys::give_back(tx, batch.clone()))).await
    }
}
