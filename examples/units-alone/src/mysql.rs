//! The shop on MariaDB or MySQL.

use flashsale_core::engine::Held;
use flashsale_core::stock::Acceptance;
use flashsale_core::{Fact, OrderId};
use flashsale_sql::MySqlLedger;
use sqlx::mysql::{MySqlPool, MySqlPoolOptions};
use sqlx::{MySql, QueryBuilder};

use crate::{Failure, Shop};

pub(crate) struct Theirs(MySqlPool);

/// Nobody of theirs may hold a sale in silence (`wait_timeout`: MySQL has no other), and what was sold while waiting for a lock must be seen.
const SETTINGS: &str = "SET SESSION wait_timeout = 60; SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED";

impl Shop for Theirs {
    type Db = MySql;

    async fn open(url: &str) -> Result<(Self, MySqlLedger), Failure> {
        let pool = MySqlPoolOptions::new()
            .after_connect(|connection, _| {
                Box::pin(async move { sqlx::raw_sql(SETTINGS).execute(connection).await.map(drop) })
            })
            .connect(url)
            .await?;
        sqlx::query("CREATE TABLE parcels (order_id VARBINARY(255) PRIMARY KEY, buyer VARBINARY(255), state TEXT)")
            .execute(&pool)
            .await?;
        // One statement, whatever the size of the batch: its time is lock time.
        let ledger = MySqlLedger::new(pool.clone()).enlist(|tx, facts| {
            Box::pin(async move {
                let orders = facts.iter().filter_map(|fact| match &fact.fact {
                    Fact::OrderAccepted(order) => Some(order),
                    _ => None,
                });
                let mut insert = QueryBuilder::<MySql>::new("INSERT INTO parcels ");
                insert.push_values(orders, |mut row, order| {
                    row.push_bind(order.order.as_str()).push_bind(order.buyer.as_str()).push("'to pack'");
                });
                insert.build().execute(&mut *tx).await?;
                Ok(())
            })
        });
        ledger.migrate().await?;
        Ok((Self(pool), ledger))
    }

    async fn accept(&self, ledger: &MySqlLedger, held: &Held) -> Result<OrderId, Failure> {
        let mut tx = self.0.begin().await?;
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
