//! Units alone: a shop with its own orders table takes nothing but the units from us. `cargo run -p units-alone`
//!
//! Two ways to write its row and ours in one commit: *enlisted* in our batch (fast), or ours inside *its* transaction (simple; the
//! lock is held across its statements).

use std::sync::Arc;

use flashsale_core::memory::MemoryStockGate;
use flashsale_core::stock::Acceptance;
use flashsale_core::{BuyerId, Error, Fact, Item, Key, Purchase, Sale, SaleId, Stock, SystemClock};
use flashsale_sql::SqliteLedger;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqliteSynchronous};

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let options = SqliteConnectOptions::new()
        .filename(folder.path().join("their.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let pool = SqlitePool::connect_with(options).await?;
    sqlx::query("CREATE TABLE parcels (order_id TEXT PRIMARY KEY, buyer TEXT, state TEXT)").execute(&pool).await?;

    // 1. Enlisted: their rows of a whole batch, inside our accepting transaction.
    let ledger = SqliteLedger::new(pool.clone()).enlist(|tx, facts| {
        Box::pin(async move {
            for fact in facts {
                let Fact::OrderAccepted(order) = &fact.fact else { continue };
                sqlx::query("INSERT INTO parcels VALUES (?, ?, 'to pack')")
                    .bind(order.order.as_str())
                    .bind(order.buyer.as_str())
                    .execute(&mut *tx)
                    .await?;
            }
            Ok(())
        })
    });
    ledger.migrate().await?;
    let stock = Stock::new(Arc::new(MemoryStockGate::new(SystemClock::shared())), Arc::new(ledger.clone()))?;
    let sale = Sale::named("drop-1")?.item(Item::named("boot")?.units(2)?);
    stock.open(&sale).await?;
    let wants = |buyer: &str| -> Result<Purchase, Failure> {
        Ok(Purchase::of(&SaleId::new("drop-1")?, &BuyerId::new(buyer)?, Key::new("order-1")?).line("boot", 1)?)
    };
    let placed = stock.take(&wants("ann")?).await?;
    println!("{} taken, parcel written in the same commit", placed.order.id);

    // 2. In their transaction: held by the gate, accepted where they say, told to the gate after their commit.
    let held = stock.hold(&wants("bob")?).await?;
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
    let accepted = ledger.accept_in(&mut tx, &held.sale, std::slice::from_ref(&held.accept)).await?;
    let Some(Acceptance::Decided(order)) = accepted.answers.first() else { return Err("not accepted".into()) };
    sqlx::query("INSERT INTO parcels VALUES (?, 'bob', 'to pack')").bind(order.id.as_str()).execute(&mut *tx).await?;
    tx.commit().await?;
    stock.accepted(&held).await;
    println!("{} taken in their transaction", order.id);

    match stock.take(&wants("cid")?).await {
        Err(Error::Refused(no)) => println!("cid: {}", no.code()),
        other => return Err(format!("two boots for three buyers: {other:?}").into()),
    }
    // A unit that is given back is for sale again.
    stock.give_back(&sale.id, std::slice::from_ref(&placed.order.id)).await?;
    println!("{} taken after ann gave hers back", stock.take(&wants("cid")?).await?.order.id);

    let parcels: i64 = sqlx::query_scalar("SELECT count(*) FROM parcels").fetch_one(&pool).await?;
    assert_eq!(parcels, 3, "one parcel per accepted order");
    Ok(())
}
