//! The marks of the SQLite ledger: to one durable transaction per order, and to bare inserts of the very rows it writes.
//!
//! Real files in a directory of their own, `synchronous=FULL`, one hot item, every buyer new. The rows that the baselines
//! insert are read back from a file that the ledger wrote, so all three write the same bytes into the same schema; the
//! baselines have one plain connection with the ledger's own settings, and none of its reading, deciding and checking.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flashsale_core::id::ContentHash;
use flashsale_core::sale::Lines;
use flashsale_core::stock::{Accept, Acceptance, Adopted, Epoch, HoldNo, Nonce, StockLedger, Then};
use flashsale_core::{BuyerId, Item, ItemId, Key, Money, OrderId, Quantity, Sale, SaleId, won};
use flashsale_sql::SqliteLedger;
use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteRow, SqliteSynchronous,
};
use sqlx::{Arguments, AssertSqlSafe, ConnectOptions, Connection, Row};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::Failure;
use crate::runs::Figures;

const BATCH: usize = 256;
/// Orders of one run: 80 batches.
const ORDERS: usize = 80 * BATCH;
/// Rows of one multi-row insert. Of 8, 16, 32, 64 and 256 this was the fastest: a long list of bound values costs more than it saves.
const ROWS: usize = 64;
/// Orders of one run that has a transaction for each.
const SINGLES: usize = 8 * BATCH;

const ITEM: &str = "sneaker-42";
const PRICE: Money = won(129_000);

/// Batches of 256 through the port, to a transaction per order.
pub(crate) fn sqlite(runs: usize) -> Result<Figures, Failure> {
    let runtime = runtime()?;
    let rows = runtime.block_on(rows_of_the_ledger())?;
    Figures::measure(
        "orders",
        runs,
        || runtime.block_on(one_by_one(&rows)),
        || runtime.block_on(async { accepted().await.map(|(speed, _)| speed) }),
    )
}

/// Batches of 256 through the port, to the bare inserts of the same rows.
pub(crate) fn sqlite_rows(runs: usize) -> Result<Figures, Failure> {
    let runtime = runtime()?;
    let rows = runtime.block_on(rows_of_the_ledger())?;
    Figures::measure(
        "orders",
        runs,
        || runtime.block_on(in_bulk(&rows)),
        || runtime.block_on(async { accepted().await.map(|(speed, _)| speed) }),
    )
}

fn runtime() -> Result<Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

#[expect(clippy::cast_precision_loss, reason = "a count of orders is far below 2^52")]
fn per_second(count: usize, spent: Duration) -> f64 {
    count as f64 / spent.as_secs_f64()
}

/// A ledger in a new file, with the sale open and a gate adopted.
async fn ledger(folder: &TempDir) -> Result<(SqliteLedger, SaleId, Epoch), Failure> {
    let ledger = SqliteLedger::open(folder.path().join("ledger.db")).await?;
    let sale = Sale::named("drop-1")?.item(Item::named(ITEM)?.units(1_000_000)?.price(PRICE));
    ledger.open(&sale).await?.map_err(|refusal| refusal.to_string())?;
    match ledger.adopt(&sale.id, Nonce(7), Epoch(0)).await? {
        Adopted::Yes(load) => Ok((ledger, sale.id, load.epoch)),
        Adopted::Superseded(_) => Err("a new ledger has a gate already".into()),
    }
}

/// Accepts all orders of a run and tells how many a second; the folder has the rows.
async fn accepted() -> Result<(f64, TempDir), Failure> {
    let folder = tempfile::tempdir()?;
    let (ledger, sale, epoch) = ledger(&folder).await?;
    let orders = orders(ORDERS, epoch)?;
    let begun = Instant::now();
    let mut count = 0;
    for batch in orders.chunks(BATCH) {
        let answers = ledger.accept(&sale, batch).await?.answers;
        count += answers
            .iter()
            .filter(|answer| matches!(answer, Acceptance::Decided(order) if order.state.holds_units()))
            .count();
    }
    let spent = begun.elapsed();
    let allocated = ledger.totals(&sale).await?.map_or(0, |totals| totals.items[0].allocated as usize);
    ledger.close().await;
    if count != ORDERS || allocated != ORDERS {
        return Err(format!("{count} accepted and {allocated} allocated of {ORDERS}").into());
    }
    Ok((per_second(ORDERS, spent), folder))
}

/// Orders as a shop sends them, in no order of name.
fn orders(count: usize, epoch: Epoch) -> Result<Vec<Accept>, Failure> {
    let item = ItemId::new(ITEM)?;
    let mut orders = Vec::with_capacity(count);
    for no in 1..=count as u64 {
        // An odd factor modulo a power of two visits every number once.
        let n = no.wrapping_mul(0x9E37_79B1) % (1 << 20);
        let id = OrderId::of(&BuyerId::new(&format!("buyer-{n:07}"))?, &Key::new(&format!("k-{n:07}"))?);
        orders.push(Accept {
            hash: ContentHash::over([id.as_str().as_bytes(), ITEM.as_bytes()]),
            id,
            lines: Lines::one(&item, Quantity::MIN),
            hold: Some((epoch, HoldNo(no))),
            expect: Some(PRICE),
            coupon: None,
            method: None,
            note: None,
            then: Then::Pay { within: Duration::from_secs(600) },
        });
    }
    Ok(orders)
}

/// A value of a row.
#[derive(Debug, Clone, PartialEq)]
enum Cell {
    Null,
    Int(i64),
    Text(String),
}

/// All rows of a table, in order of writing, and what inserts them.
#[derive(Debug)]
struct Table {
    name: &'static str,
    columns: Vec<String>,
    rows: Vec<Vec<Cell>>,
}

/// What an order consists of: a row in each.
const TABLES: [(&str, &str); 3] = [("orders", "hold_no"), ("line", "order_id"), ("outbox", "no")];

/// The rows that the ledger writes for one run.
async fn rows_of_the_ledger() -> Result<Vec<Table>, Failure> {
    let (_, folder) = accepted().await?;
    let mut connection = connect(folder.path()).await?;
    let mut tables = Vec::new();
    for (name, order) in TABLES {
        let mut table = read(&mut connection, name, order).await?;
        if name == "outbox" {
            // The facts of the sale itself stand before those of its orders.
            table.rows.drain(..table.rows.len() - ORDERS);
        }
        tables.push(table);
    }
    if let Some(table) = tables.iter().find(|table| table.rows.len() != ORDERS) {
        return Err(format!("{} has {} rows", table.name, table.rows.len()).into());
    }
    connection.close().await?;
    Ok(tables)
}

async fn read(connection: &mut SqliteConnection, name: &'static str, order: &str) -> Result<Table, Failure> {
    let text = format!("SELECT name, hidden, type, pk FROM pragma_table_xinfo('{name}')");
    let mut columns = Vec::new();
    for column in sqlx::query(AssertSqlSafe(text)).fetch_all(&mut *connection).await? {
        let generated: i64 = column.try_get(1)?;
        let numbered = column.try_get::<i64, _>(3)? == 1 && column.try_get::<String, _>(2)? == "INTEGER";
        if generated == 0 && !numbered {
            columns.push(column.try_get::<String, _>(0)?);
        }
    }
    let text = format!("SELECT {} FROM {name} ORDER BY {order}", columns.join(", "));
    let found = sqlx::query(AssertSqlSafe(text)).fetch_all(&mut *connection).await?;
    let row = |row: &SqliteRow| (0..columns.len()).map(|at| cell(row, at)).collect();
    let rows = found.iter().map(row).collect::<Result<_, sqlx::Error>>()?;
    Ok(Table { name, columns, rows })
}

fn cell(row: &SqliteRow, at: usize) -> Result<Cell, sqlx::Error> {
    if let Ok(number) = row.try_get::<Option<i64>, _>(at) {
        return Ok(number.map_or(Cell::Null, Cell::Int));
    }
    Ok(row.try_get::<Option<String>, _>(at)?.map_or(Cell::Null, Cell::Text))
}

impl Table {
    /// The statement that inserts so many rows.
    fn insert(&self, rows: usize) -> Arc<str> {
        let one = format!("({})", vec!["?"; self.columns.len()].join(", "));
        let all = vec![one; rows].join(", ");
        format!("INSERT INTO {} ({}) VALUES {all}", self.name, self.columns.join(", ")).into()
    }
}

fn arguments(rows: &[Vec<Cell>]) -> Result<SqliteArguments, sqlx::Error> {
    let mut arguments = SqliteArguments::default();
    arguments.reserve(rows.iter().map(Vec::len).sum(), 0);
    for cell in rows.iter().flatten() {
        let added = match cell {
            Cell::Null => arguments.add(None::<i64>),
            Cell::Int(number) => arguments.add(*number),
            Cell::Text(text) => arguments.add(text.clone()),
        };
        added.map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}

/// Inserts the rows, 256 orders a transaction, and tells how many orders a second.
async fn in_bulk(tables: &[Table]) -> Result<f64, Failure> {
    let (folder, mut connection) = empty().await?;
    let texts: Vec<Arc<str>> = tables.iter().map(|table| table.insert(ROWS)).collect();
    let begun = Instant::now();
    for at in (0..ORDERS).step_by(BATCH) {
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        for (table, text) in tables.iter().zip(&texts) {
            for rows in table.rows[at..at + BATCH].chunks(ROWS) {
                let query = sqlx::query_with(AssertSqlSafe(text.clone()), arguments(rows)?);
                query.execute(&mut *transaction).await?;
            }
        }
        transaction.commit().await?;
    }
    let spent = begun.elapsed();
    expect(&mut connection, ORDERS).await?;
    connection.close().await?;
    folder.close()?;
    Ok(per_second(ORDERS, spent))
}

/// Inserts the rows of each order in a transaction of its own, which takes the unit from the hot row, too.
async fn one_by_one(tables: &[Table]) -> Result<f64, Failure> {
    const TAKE: &str =
        "UPDATE item SET allocated = allocated + 1 WHERE sale = 'drop-1' AND id = ? AND allocated + 1 <= total";
    let (folder, mut connection) = empty().await?;
    let texts: Vec<Arc<str>> = tables.iter().map(|table| table.insert(1)).collect();
    let begun = Instant::now();
    for at in 0..SINGLES {
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        for (table, text) in tables.iter().zip(&texts) {
            let arguments = arguments(&table.rows[at..=at])?;
            sqlx::query_with(AssertSqlSafe(text.clone()), arguments).execute(&mut *transaction).await?;
        }
        let taken = sqlx::query(TAKE).bind(ITEM).execute(&mut *transaction).await?.rows_affected();
        if taken != 1 {
            return Err("the unit was not taken".into());
        }
        transaction.commit().await?;
    }
    let spent = begun.elapsed();
    expect(&mut connection, SINGLES).await?;
    connection.close().await?;
    folder.close()?;
    Ok(per_second(SINGLES, spent))
}

/// A new file with the ledger's schema and the sale's terms, and a plain connection to it.
async fn empty() -> Result<(TempDir, SqliteConnection), Failure> {
    let folder = tempfile::tempdir()?;
    let (ledger, _, _) = ledger(&folder).await?;
    ledger.close().await;
    let connection = connect(folder.path()).await?;
    Ok((folder, connection))
}

async fn connect(folder: &Path) -> Result<SqliteConnection, sqlx::Error> {
    let options = SqliteConnectOptions::new()
        .filename(folder.join("ledger.db"))
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .pragma("temp_store", "MEMORY")
        .pragma("cache_size", "-65536")
        .pragma("wal_autocheckpoint", "8192")
        .disable_statement_logging();
    options.connect().await
}

async fn expect(connection: &mut SqliteConnection, orders: usize) -> Result<(), Failure> {
    for (table, _) in TABLES {
        let text = format!("SELECT COUNT(*) FROM {table}");
        let count: i64 = sqlx::query_scalar(AssertSqlSafe(text)).fetch_one(&mut *connection).await?;
        // The sale's own facts are not among the rows that were inserted here.
        let extra = if table == "outbox" { 1..=8 } else { 0..=0 };
        if !extra.contains(&(count - i64::try_from(orders)?)) {
            return Err(format!("{table} has {count} rows, not {orders}").into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_baselines_insert_the_rows_that_the_ledger_wrote() {
        let runtime = runtime().unwrap();
        runtime.block_on(async {
            let rows = rows_of_the_ledger().await.unwrap();
            let columns = |name: &str| rows.iter().find(|table| table.name == name).unwrap().columns.join(" ");
            assert!(columns("orders").starts_with("id sale hash state"), "{}", columns("orders"));
            assert!(!columns("orders").contains("buyer"), "a generated column is not inserted");
            assert!(columns("outbox").starts_with("subject version"), "{}", columns("outbox"));
            let order = &rows[0].rows[0];
            assert!(order.contains(&Cell::Text("accepted".into())), "{order:?}");
            in_bulk(&rows).await.unwrap();
            one_by_one(&rows).await.unwrap();
        });
    }
}
