//! The shop on PostgreSQL.

use flashsale_core::engine::Held;
use flashsale_core::stock::Acceptance;
use flashsale_core::{Fact, OrderId};
use flashsale_sql::PostgresLedger;
use sqlx::{PgPool, Postgres};

use crate::{Failure, Shop};

pub(crate) struct Theirs(PgPool);

impl Shop for Theirs {
    type Db = Postgres;

    async fn open(url: &str) -> Result<(Self, PostgresLedger), Failure> {
        let pool = PgPool::connect(url).await?;
        sqlx::query("CREATE TABLE parcels (order_id text PRIMARY KEY, buyer text, state text)").execute(&pool).await?;
        // One statement, whatever the size of the batch: its time is lock time.
        let ledger = PostgresLedger::new(pool.clone()).enlist(|tx, facts| {
            Box::pin(async move {
                let (mut orders, mut buyers) = (Vec::new(), Vec::new());
                for fact in facts {
                    let Fact::OrderAccepted(order) = &fact.fact else { continue };
                    orders.push(order.order.as_str());
                    buyers.push(order.buyer.as_str());
                }
                sqlx::query("INSERT INTO parcels SELECT o, b, 'to pack' FROM unnest($1::text[], $2::text[]) r (o, b)")
                    .bind(orders)
                    .bind(buyers)
                    .execute(&mut *tx)
                    .await?;
                Ok(())
            })
        });
        ledger.migrate().await?;
        Ok((Self(pool), ledger))
    }

    async fn accept(&self, ledger: &PostgresLedger, held: &Held) -> Result<OrderId, Failure> {
        // At a higher isolation it would not see what was sold while it waited for the lock.
        let mut tx = self.0.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED").await?;
        let accepted = ledger.accept_in(&mut tx, &held.sale, std::slice::from_ref(&held.accept)).await?;
        let Some(Acceptance::Decided(order)) = accepted.answers.first() else { return Err("not accepted".into()) };
        sqlx::query("INSERT INTO parcels VALUES ($1, $2, 'to pack')")
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
