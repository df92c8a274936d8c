//! An older copy of a ledger is put back: the sale halts, and what was lost is listed. The same on every database.

use std::sync::Arc;

use flashsale_core::engine::Stock;
use flashsale_core::error::{Error, ErrorKind};
use flashsale_core::memory::MemoryStockGate;
use flashsale_core::order::Purchase;
use flashsale_core::stock::OrderState;
use flashsale_core::{BuyerId, Key, OrderId, SystemClock};
use flashsale_sql::{Backend, SqlLedger};

use super::{sale, sale_id};

fn purchase(buyer: &str) -> Purchase {
    let purchase = Purchase::of(&sale_id(), &BuyerId::new(buyer).unwrap(), Key::new("k").unwrap());
    purchase.line("sneaker", 1).unwrap()
}

/// Runs the passes until the gate stands where the ledger does.
async fn settled(stock: &Stock) {
    let at = async || {
        let gate = stock.level(&sale_id()).await.unwrap().unwrap();
        let ledger = stock.totals(&sale_id()).await.ok().flatten();
        ledger.is_some_and(|totals| gate.version == Some(totals.version) && gate.holds == 0)
    };
    stock
        .workers()
        .run(async {
            while !at().await {
                tokio::task::yield_now().await
            }
        })
        .await;
}

/// `save` keeps a copy of the database as it is, `put_back` puts it back; nobody has it open then. The gate lives on.
pub(crate) async fn lost_orders_are_listed<D: Backend>(
    open: impl AsyncFn() -> SqlLedger<D>,
    save: impl FnOnce(),
    put_back: impl FnOnce(),
) {
    let gate = Arc::new(MemoryStockGate::new(SystemClock::shared()));
    let node = async || {
        let ledger = open().await;
        (Stock::new(gate.clone(), Arc::new(ledger.clone())).unwrap(), ledger)
    };
    let (stock, ledger) = node().await;
    stock.open(&sale(100)).await.unwrap();
    for buyer in ["ann", "bob", "cid"] {
        stock.take(&purchase(buyer)).await.unwrap();
    }
    settled(&stock).await;
    assert_eq!(stock.lost(&sale_id()).await.unwrap(), [], "nothing is lost");
    ledger.close().await;
    save();
    let (stock, ledger) = node().await;
    for buyer in ["dan", "eve"] {
        stock.take(&purchase(buyer)).await.unwrap();
    }
    stock.give_back(&sale_id(), &[OrderId::new("bob~k").unwrap()]).await.unwrap();
    settled(&stock).await;
    ledger.close().await;
    put_back();
    let (stock, ledger) = node().await;
    // It is noticed by the first pass, and nothing is sold from then on.
    let noticed = async || match stock.take(&purchase("fay")).await {
        Err(Error::Backend(error)) => error.kind() == ErrorKind::Rewound,
        _ => false,
    };
    stock
        .workers()
        .run(async {
            while !noticed().await {
                tokio::task::yield_now().await
            }
        })
        .await;
    let lost = stock.lost(&sale_id()).await.unwrap();
    let lost: Vec<_> =
        lost.iter().map(|lost| (lost.id.as_str(), lost.was, lost.is)).filter(|lost| lost.0 != "fay~k").collect();
    let expected = [
        ("bob~k", OrderState::Cancelled, Some(OrderState::Accepted)),
        ("dan~k", OrderState::Accepted, None),
        ("eve~k", OrderState::Accepted, None),
    ];
    assert_eq!(lost, expected);
    ledger.close().await;
}
