//! The shop on a file of SQLite.

use flashsale_core::engine::Held;
use flashsale_core::stock::Acceptance;
use flashsale_core::{Fact, OrderId};
use flashsale_sql::SqliteLedger;
use sqlx::Sqlite;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqliteSynchronous};

use crate::{Failure, Shop};

pub(crate) struct Theirs(SqlitePool);

impl Shop for Theirs {
    type Db = Sqlite;

    async fn open(file: &str) -> Result<(Self, SqliteLedger), Failure> {
        // Their sessions must be durable; the ledger refuses others.
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
        let pool = SqlitePool::connect_with(options).await?;
        sqlx::query("CREATE TABLE parcels (order_id TEXT PRIMARY KEY, buyer TEXT, state TEXT)").execute(&pool).await?;
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
        Ok((Self(pool), ledger))
    }

    async fn accept(&self, ledger: &SqliteLedger, held: &Held) -> Result<OrderId, Failure> {
        // A transaction that read before it wrote could not get the lock any more.
        let mut tx = self.0.begin_with("BEGIN IMMEDIATE").await?;
        let accepted = ledger.accept_in(&mut tx, &held.sale, std::slice::from_ref(&held.accept)).await?;
        let Some(Acceptance::Decided(order)) = accepted.answers.first() else { return Err("not accepted".into()) };
        sqlx::query("INSERT INTO parcels VALUES (?, ?, 'to pack')")
            .bind(order.id.as_str())
            .bind(order.id.buyer_str())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(order.id.clone())
    }

    async fn parcels(&self) -> Result<i64, Failure> {
        Ok(sqlx::query_scalar("SELECT COUNT(*) FROM parcels").fetch_one(&self.0).await?)
    }
}
