//! Units alone: a shop with its own orders table takes nothing but the units from us. `cargo run -p units-alone`
//!
//! Two ways to write its row and ours in one commit: *enlisted* in our batch (fast), or ours inside *its* transaction (simple; the
//! lock is held across its statements). On a file of SQLite, or with `--sql.url postgres://..` or `mysql://..` on a database of yours that
//! has no tables of ours yet; `--start postgres` and `--start mariadb` start an empty one on this machine. What differs is in the file of each database.

mod mysql;
mod postgres;
mod sqlite;

use std::sync::Arc;

use flashsale_core::engine::Held;
use flashsale_core::memory::MemoryStockGate;
use flashsale_core::{BuyerId, Error, Item, Key, OrderId, Purchase, Sale, SaleId, Stock, SystemClock};
use flashsale_services::{MariaDb, MariaDbOptions, Postgres, PostgresOptions};
use flashsale_sql::{Backend, SqlLedger};

type Failure = Box<dyn std::error::Error>;

/// The shop's side: its pool, its table.
trait Shop: Sized {
    type Db: Backend;

    /// Makes its table, and a ledger over its pool with its hook enlisted: one parcel per accepted order, in our commit.
    async fn open(url: &str) -> Result<(Self, SqlLedger<Self::Db>), Failure>;

    /// Accepts inside its own transaction, and writes its row there, too.
    async fn accept(&self, ledger: &SqlLedger<Self::Db>, held: &Held) -> Result<OrderId, Failure>;

    /// How many parcels it has.
    async fn parcels(&self) -> Result<i64, Failure>;
}

fn flag(name: &str) -> Option<String> {
    std::env::args().skip_while(|arg| arg != name).nth(1)
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    if let Some(database) = flag("--start") {
        return match &*database {
            "postgres" => {
                let server = Postgres::try_start(&PostgresOptions::default())?;
                sell::<postgres::Theirs>(&server.url()).await
            }
            "mariadb" => {
                let server = MariaDb::try_start(&MariaDbOptions::default())?;
                sell::<mysql::Theirs>(&server.url()).await
            }
            other => Err(format!("--start is {other}, it must be postgres or mariadb").into()),
        };
    }
    match flag("--sql.url") {
        Some(url) if url.starts_with("postgres") => sell::<postgres::Theirs>(&url).await,
        Some(url) if url.starts_with("mysql") => sell::<mysql::Theirs>(&url).await,
        Some(url) => Err(format!("--sql.url is {url}, it must begin with postgres:// or mysql://").into()),
        None => {
            let folder = tempfile::tempdir()?;
            sell::<sqlite::Theirs>(&folder.path().join("their.db").to_string_lossy()).await
        }
    }
}

async fn sell<S: Shop>(url: &str) -> Result<(), Failure> {
    let (shop, ledger) = S::open(url).await?;
    let stock = Stock::new(Arc::new(MemoryStockGate::new(SystemClock::shared())), Arc::new(ledger.clone()))?;
    let sale = Sale::named("drop-1")?.item(Item::named("boot")?.units(2)?);
    stock.open(&sale).await?;
    let wants = |buyer: &str| -> Result<Purchase, Failure> {
        Ok(Purchase::of(&SaleId::new("drop-1")?, &BuyerId::new(buyer)?, Key::new("order-1")?).line("boot", 1)?)
    };

    // 1. Enlisted: their rows of a whole batch, inside our accepting transaction.
    let placed = stock.take(&wants("ann")?).await?;
    println!("{} taken, parcel written in the same commit", placed.order.id);

    // 2. In their transaction: held by the gate, accepted where they say, told to the gate after their commit.
    let held = stock.hold(&wants("bob")?).await?;
    let order = shop.accept(&ledger, &held).await?;
    stock.accepted(&held).await;
    println!("{order} taken in their transaction");

    match stock.take(&wants("cid")?).await {
        Err(Error::Refused(no)) => println!("cid: {}", no.code()),
        other => return Err(format!("two boots for three buyers: {other:?}").into()),
    }
    // A unit that is given back is for sale again.
    stock.give_back(&sale.id, std::slice::from_ref(&placed.order.id)).await?;
    println!("{} taken after ann gave hers back", stock.take(&wants("cid")?).await?.order.id);

    assert_eq!(shop.parcels().await?, 3, "one parcel per accepted order");
    ledger.close().await;
    Ok(())
}
