//! The marks of the ledger: to one durable transaction per order, to bare inserts of the very rows it writes, and to itself when a
//! sale has a million orders.
//!
//! Real databases in directories of their own, durable, one hot item, every buyer new, 256 orders a transaction, one transaction
//! after the other. The rows that the baselines insert are read back from what the ledger wrote, so all write the same
//! bytes into the same schema; the baselines have plain connections and none of the ledger's reading, deciding and checking.

mod bed;
mod growth;
mod mariadb;
mod postgres;
mod rival;
mod sqlite;

use std::time::{Duration, Instant};

use flashsale_core::id::ContentHash;
use flashsale_core::sale::Lines;
use flashsale_core::stock::{Accept, Acceptance, Adopted, Epoch, HoldNo, Nonce, StockLedger, Then};
use flashsale_core::{BuyerId, Item, ItemId, Key, Money, OrderId, Quantity, Sale, SaleId, won};
use flashsale_sql::{Backend, SqlLedger};
use tokio::runtime::Runtime;

use self::bed::Bed;
use self::mariadb::MariaDbBed;
use self::postgres::PostgresBed;
use self::rival::Rival;
use self::sqlite::SqliteBed;
use crate::Failure;
use crate::gate::per_second;
use crate::runs::Figures;

const BATCH: usize = 256;
/// Orders of one run: 80 batches.
const ORDERS: usize = 80 * BATCH;

/// What is measured.
const ITEM: &str = "sneaker-42";
/// What a sale is filled with before.
const OTHER: &str = "sneaker-41";
const PRICE: Money = won(129_000);

/// SQLite, to a transaction per order.
pub(crate) fn sqlite(runs: usize) -> Result<Figures, Failure> {
    to_singles::<SqliteBed>(runs)
}

/// SQLite, to the bare inserts of the same rows.
pub(crate) fn sqlite_rows(runs: usize) -> Result<Figures, Failure> {
    to_rows::<SqliteBed>(runs)
}

/// PostgreSQL, to a transaction per order.
pub(crate) fn postgres(runs: usize) -> Result<Figures, Failure> {
    to_singles::<PostgresBed>(runs)
}

/// PostgreSQL, to the bare inserts of the same rows.
pub(crate) fn postgres_rows(runs: usize) -> Result<Figures, Failure> {
    to_rows::<PostgresBed>(runs)
}

/// MariaDB, to a transaction per order.
pub(crate) fn mariadb(runs: usize) -> Result<Figures, Failure> {
    to_singles::<MariaDbBed>(runs)
}

/// MariaDB, to the bare inserts of the same rows.
pub(crate) fn mariadb_rows(runs: usize) -> Result<Figures, Failure> {
    to_rows::<MariaDbBed>(runs)
}

/// SQLite at a million orders of a sale, to a thousand.
pub(crate) fn growth_sqlite(runs: usize) -> Result<Figures, Failure> {
    growth::measure::<SqliteBed>(runs)
}

/// PostgreSQL at a million orders of a sale, to a thousand.
pub(crate) fn growth_postgres(runs: usize) -> Result<Figures, Failure> {
    growth::measure::<PostgresBed>(runs)
}

/// MariaDB at a million orders of a sale, to a thousand.
pub(crate) fn growth_mariadb(runs: usize) -> Result<Figures, Failure> {
    growth::measure::<MariaDbBed>(runs)
}

/// Batches of 256 through the port, to a transaction per order on its best number of connections.
fn to_singles<B: Bed>(runs: usize) -> Result<Figures, Failure> {
    let (bed, runtime) = (B::start()?, runtime()?);
    let rival = runtime.block_on(Rival::of(&bed))?;
    let mut best = None;
    for connections in B::CONNECTIONS {
        let speed = runtime.block_on(rival.one_by_one(&bed, *connections))?;
        if best.is_none_or(|(most, _)| speed > most) {
            best = Some((speed, *connections));
        }
    }
    let connections = best.map_or(1, |(_, connections)| connections);
    Figures::measure(
        "orders",
        runs,
        || runtime.block_on(rival.one_by_one(&bed, connections)),
        || runtime.block_on(accepted(&bed)),
    )
}

/// Batches of 256 through the port, to the bare inserts of the same rows.
fn to_rows<B: Bed>(runs: usize) -> Result<Figures, Failure> {
    let (bed, runtime) = (B::start()?, runtime()?);
    let rival = runtime.block_on(Rival::of(&bed))?;
    Figures::measure("orders", runs, || runtime.block_on(rival.in_bulk(&bed)), || runtime.block_on(accepted(&bed)))
}

fn runtime() -> Result<Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

/// Accepts all orders of a run at a new place and tells how many a second.
async fn accepted<B: Bed>(bed: &B) -> Result<f64, Failure> {
    let place = bed.place()?;
    let speed = accepted_at(bed, &place).await?;
    bed.forget(place)?;
    Ok(speed)
}

/// Accepts all orders of a run at this place.
async fn accepted_at<B: Bed>(bed: &B, place: &B::Place) -> Result<f64, Failure> {
    let shop = Shop::open(bed.ledger(place).await?).await?;
    let orders = orders(1..=ORDERS as u64, ITEM, shop.epoch)?;
    let speed = shop.accept(&orders, BATCH).await?;
    let allocated = shop.allocated(ITEM).await?;
    shop.close().await;
    if allocated == ORDERS { Ok(speed) } else { Err(format!("{allocated} allocated of {ORDERS}").into()) }
}

/// A ledger with the sale open and a gate adopted.
struct Shop<D: Backend> {
    ledger: SqlLedger<D>,
    sale: SaleId,
    epoch: Epoch,
}

impl<D: Backend> Shop<D> {
    async fn open(ledger: SqlLedger<D>) -> Result<Self, Failure> {
        let item = |name| Item::named(name)?.units(Quantity::MAX.units().into()).map(|item| item.price(PRICE));
        let sale = Sale::named("drop-1")?.item(item(ITEM)?).item(item(OTHER)?);
        ledger.open(&sale).await?.map_err(|refusal| refusal.to_string())?;
        match ledger.adopt(&sale.id, Nonce(7), Epoch(0)).await? {
            Adopted::Yes(load) => Ok(Self { ledger, sale: sale.id, epoch: load.epoch }),
            Adopted::Superseded(_) => Err("a new ledger has a gate already".into()),
        }
    }

    /// Accepts these orders, a batch after the other, and tells how many a second.
    async fn accept(&self, orders: &[Accept], batch: usize) -> Result<f64, Failure> {
        let begun = Instant::now();
        let mut count = 0;
        for batch in orders.chunks(batch) {
            let answers = self.ledger.accept(&self.sale, batch).await?.answers;
            let taken =
                |answer: &&Acceptance| matches!(answer, Acceptance::Decided(order) if order.state.holds_units());
            count += answers.iter().filter(taken).count();
        }
        let spent = begun.elapsed();
        if count == orders.len() {
            Ok(per_second(count, spent))
        } else {
            Err(format!("{count} accepted of {}", orders.len()).into())
        }
    }

    async fn allocated(&self, item: &str) -> Result<usize, Failure> {
        let totals = self.ledger.totals(&self.sale).await?.ok_or("there is no sale")?;
        let item = totals.items.iter().find(|totals| totals.item.as_str() == item).ok_or("there is no such item")?;
        Ok(item.allocated as usize)
    }

    async fn close(&self) {
        self.ledger.close().await;
    }
}

/// Orders as a shop sends them, in no order of name; each number is another buyer's.
fn orders(numbers: std::ops::RangeInclusive<u64>, item: &str, epoch: Epoch) -> Result<Vec<Accept>, Failure> {
    let item = ItemId::new(item)?;
    let order = |no: u64| {
        // An odd factor modulo a power of two visits every number once.
        let n = no.wrapping_mul(0x9E37_79B1) % (1 << 22);
        let id = OrderId::of(&BuyerId::new(&format!("buyer-{n:07}"))?, &Key::new(&format!("k-{n:07}"))?);
        Ok(Accept {
            hash: ContentHash::over([id.as_str().as_bytes(), item.as_str().as_bytes()]),
            id,
            lines: Lines::one(&item, Quantity::MIN),
            hold: Some((epoch, HoldNo(no))),
            expect: Some(PRICE),
            coupon: None,
            method: None,
            note: None,
            then: Then::Pay { within: Duration::from_secs(600) },
            trace: None,
        })
    };
    numbers.map(order).collect()
}

#[cfg(test)]
mod tests {
    use super::bed::Cell;
    use super::*;

    fn the_baselines_insert_the_rows_that_the_ledger_wrote<B: Bed>() {
        let bed = B::start().unwrap();
        runtime().unwrap().block_on(async {
            let rival = Rival::of(&bed).await.unwrap();
            let columns = |name: &str| rival.table(name).columns.join(" ");
            assert!(columns("orders").contains("sale") && columns("orders").contains("hash"), "{}", columns("orders"));
            assert!(!columns("orders").contains("buyer"), "a generated column is not inserted");
            assert!(columns("outbox").contains("subject version"), "{}", columns("outbox"));
            let order = &rival.table("orders").rows[0];
            assert!(order.contains(&Cell::Text("accepted".into())), "{order:?}");
            rival.in_bulk(&bed).await.unwrap();
            rival.one_by_one(&bed, *B::CONNECTIONS.last().unwrap()).await.unwrap();
        });
    }

    #[test]
    fn on_sqlite_the_baselines_insert_the_rows_that_the_ledger_wrote() {
        the_baselines_insert_the_rows_that_the_ledger_wrote::<SqliteBed>();
    }

    #[test]
    fn on_postgres_the_baselines_insert_the_rows_that_the_ledger_wrote() {
        the_baselines_insert_the_rows_that_the_ledger_wrote::<PostgresBed>();
    }

    #[test]
    fn on_mariadb_the_baselines_insert_the_rows_that_the_ledger_wrote() {
        the_baselines_insert_the_rows_that_the_ledger_wrote::<MariaDbBed>();
    }
}
