//! Three designs that are not ours, measured on the same SQLite settings: what the source documents compare.
//!
//! Owns their few statements and the table of figures. They live here, in the tool's own harness, never in the product. They do
//! less than we do (no keys, no limits, no facts, no saga), so a ratio to them flatters them.

use std::fmt::{self, Display};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::Failure;
use crate::report::{Latency, tenth};
use crate::server::Directory;

/// Buyers at a time, as in the scenarios.
const AT_A_TIME: usize = 100;

/// How an order is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Design {
    /// One lock in the application around read, decide, write.
    Lock,
    /// The same lock, the stock read from a cache and written through.
    LockAndCache,
    /// No lock of the application: one conditional update per order.
    ConditionalUpdate,
}

impl Design {
    const ALL: [Self; 3] = [Self::Lock, Self::LockAndCache, Self::ConditionalUpdate];

    fn name(self) -> &'static str {
        match self {
            Self::Lock => "one lock around everything",
            Self::LockAndCache => "lock and cache",
            Self::ConditionalUpdate => "conditional update",
        }
    }
}

/// The figures of one design.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Measured {
    design: &'static str,
    orders: usize,
    at_a_time: usize,
    accepted: u64,
    rows: u64,
    elapsed_s: f64,
    orders_per_s: f64,
    latency_ms: Latency,
}

/// The figures of all designs.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub(crate) struct Table(Vec<Measured>);

impl Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["design", "orders/s", "p50 ms", "p95 ms", "p99 ms", "max ms"];
        write!(f, "{:<28}{:>10}{:>10}{:>10}{:>10}{:>10}", head[0], head[1], head[2], head[3], head[4], head[5])?;
        for m in &self.0 {
            let Latency { p50, p95, p99, max } = m.latency_ms;
            write!(f, "\n{:<28}{:>10.1}{p50:>10.1}{p95:>10.1}{p99:>10.1}{max:>10.1}", m.design, m.orders_per_s)?;
        }
        write!(f, "\n{AT_A_TIME} at a time, SQLite WAL, synchronous=FULL")
    }
}

/// Measures all designs, one after another, each on a database of its own.
pub(crate) async fn measure(orders: usize) -> Result<Table, Failure> {
    let mut table = Vec::new();
    for design in Design::ALL {
        table.push(one(design, orders, orders).await?);
    }
    Ok(Table(table))
}

/// What the takers of one design share.
struct Shop {
    design: Design,
    pool: SqlitePool,
    /// The lock of the application; inside it the cached stock, once it was read.
    lock: Mutex<Option<i64>>,
}

impl Shop {
    async fn open(design: Design, directory: &Directory, units: usize) -> Result<Self, Failure> {
        let options = SqliteConnectOptions::new()
            .filename(directory.path().join("baseline.db"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(30));
        // SQLite has one writer; a queue for one connection is fairer and faster than a hundred that wait for its file lock.
        let pool = SqlitePoolOptions::new().max_connections(1).acquire_timeout(Duration::from_secs(600));
        let pool = pool.connect_with(options).await?;
        for sql in [
            "CREATE TABLE stock (id TEXT PRIMARY KEY, units INTEGER NOT NULL CHECK (units >= 0)) STRICT",
            "CREATE TABLE orders (id TEXT PRIMARY KEY, buyer TEXT NOT NULL, item TEXT NOT NULL, price INTEGER NOT NULL) STRICT",
        ] {
            sqlx::query(sql).execute(&pool).await?;
        }
        let units = i64::try_from(units).unwrap_or(i64::MAX);
        sqlx::query("INSERT INTO stock VALUES ('unit', ?)").bind(units).execute(&pool).await?;
        Ok(Self { design, pool, lock: Mutex::new(None) })
    }

    /// Takes one unit for one buyer; durable when it returns. Says whether there was one.
    async fn take(&self, n: usize) -> Result<bool, sqlx::Error> {
        match self.design {
            Design::Lock => {
                let _alone = self.lock.lock().await;
                if self.units().await? < 1 {
                    return Ok(false);
                }
                self.write(n).await
            }
            Design::LockAndCache => {
                let mut cached = self.lock.lock().await;
                let units = match *cached {
                    Some(units) => units,
                    None => self.units().await?,
                };
                if units < 1 {
                    return Ok(false);
                }
                let taken = self.write(n).await?;
                *cached = Some(units - 1);
                Ok(taken)
            }
            Design::ConditionalUpdate => self.write(n).await,
        }
    }

    async fn units(&self) -> Result<i64, sqlx::Error> {
        sqlx::query_scalar("SELECT units FROM stock WHERE id = 'unit'").fetch_one(&self.pool).await
    }

    /// The two writes of an order in one transaction. The condition in the update is what the third design rests on.
    async fn write(&self, n: usize) -> Result<bool, sqlx::Error> {
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let update = "UPDATE stock SET units = units - 1 WHERE id = 'unit' AND units >= 1";
        if sqlx::query(update).execute(&mut *tx).await?.rows_affected() == 0 {
            tx.rollback().await?;
            return Ok(false);
        }
        let insert = "INSERT INTO orders VALUES (?, ?, 'unit', 10000)";
        sqlx::query(insert).bind(format!("m{n}~order-{n}")).bind(format!("m{n}")).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(true)
    }
}

async fn one(design: Design, orders: usize, units: usize) -> Result<Measured, Failure> {
    let directory = Directory::create()?;
    let shop = Arc::new(Shop::open(design, &directory, units).await?);
    let next = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    let mut takers = JoinSet::new();
    for _ in 0..AT_A_TIME.min(orders) {
        let (shop, next) = (shop.clone(), next.clone());
        takers.spawn(async move {
            let mut micros = histogram();
            let mut accepted = 0;
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= orders {
                    return Ok((micros, accepted));
                }
                let pressed = Instant::now();
                accepted += u64::from(shop.take(n).await?);
                micros.saturating_record(u64::try_from(pressed.elapsed().as_micros()).unwrap_or(u64::MAX));
            }
        });
    }
    let mut micros = histogram();
    let mut accepted = 0;
    while let Some(done) = takers.join_next().await {
        let (part, taken): (Histogram<u64>, u64) = done.expect("a taker does not panic").map_err(Failure::Ledger)?;
        micros.add(&part).expect("the same bounds");
        accepted += taken;
    }
    let elapsed_s = began.elapsed().as_secs_f64();
    let rows: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM orders").fetch_one(&shop.pool).await?;
    shop.pool.close().await;
    Ok(Measured {
        design: design.name(),
        orders,
        at_a_time: AT_A_TIME,
        accepted,
        rows: rows.unsigned_abs(),
        elapsed_s: (elapsed_s * 1e3).round() / 1e3,
        orders_per_s: tenth(orders as f64 / elapsed_s),
        latency_ms: Latency::of(&micros),
    })
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 600_000_000, 3).expect("constant bounds")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_design_sells_more_or_less_than_there_is() {
        for design in Design::ALL {
            let measured = one(design, 120, 30).await.unwrap();
            assert_eq!((measured.accepted, measured.rows), (30, 30), "{design:?}");
            assert_eq!(measured.orders, 120);
        }
    }
}
