//! Reads the ledger's rows: with this tool's own SQL, on a connection that cannot write.
//!
//! Owns the connection and the plain figures. What must not be found in the rows is [`audit`](crate::audit)'s.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};

use crate::Failure;

/// States in which an order is still on its way.
pub(crate) const OPEN: &str = "('offered', 'accepted', 'paying', 'closing', 'refunding')";
/// States in which an order's units are allocated.
pub(crate) const HOLDS_UNITS: &str = "('offered', 'accepted', 'paying', 'closing', 'confirmed')";

/// Which rows belong to a run: a ledger may hold others.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scope {
    /// Sales that the run made.
    pub(crate) sales: Vec<String>,
    /// Campaigns that the run made. Each of their windows is a sale named `campaign:label`.
    pub(crate) campaigns: Vec<String>,
    /// Members whose wallets the run used.
    pub(crate) members: Vec<String>,
}

/// The ledger's file.
#[derive(Debug, Clone)]
pub(crate) struct Ledger {
    pub(crate) pool: SqlitePool,
}

/// How the orders of a run ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Ended {
    /// All rows, refused ones too.
    pub(crate) rows: u64,
    /// Paid.
    pub(crate) confirmed: u64,
    /// Cancelled because the payment was declined.
    pub(crate) declined: u64,
    /// Cancelled because the buyer left the payment page.
    pub(crate) left: u64,
    /// Still on their way.
    pub(crate) open: u64,
}

impl Ledger {
    /// Opens the file for reading.
    pub(crate) async fn open(file: &Path) -> Result<Self, Failure> {
        let options = SqliteConnectOptions::new().filename(file).read_only(true).busy_timeout(Duration::from_secs(5));
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
        Ok(Self { pool })
    }

    /// The sales of a scope: those that it names, and the windows of its campaigns.
    pub(crate) async fn sales(&self, scope: &Scope) -> Result<Vec<String>, Failure> {
        let mut sales = scope.sales.clone();
        for campaign in &scope.campaigns {
            // ';' is the character after ':': this is "begins with `campaign:`" by the index.
            let windows: Vec<String> = sqlx::query_scalar("SELECT id FROM sale WHERE id >= ? AND id < ? ORDER BY id")
                .bind(format!("{campaign}:"))
                .bind(format!("{campaign};"))
                .fetch_all(&self.pool)
                .await?;
            sales.extend(windows);
        }
        Ok(sales)
    }

    /// How the orders of one sale ended, so far.
    pub(crate) async fn ended(&self, sale: &str) -> Result<Ended, Failure> {
        let sql = format!(
            "SELECT COUNT(*), COALESCE(SUM(state = 'confirmed'), 0),
                    COALESCE(SUM(state = 'cancelled' AND reason IN ('declined', 'insufficient')), 0),
                    COALESCE(SUM(state = 'cancelled' AND reason = 'buyer_left'), 0), COALESCE(SUM(state IN {OPEN}), 0)
             FROM orders WHERE sale = ?"
        );
        let row: (i64, i64, i64, i64, i64) =
            sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(sale).fetch_one(&self.pool).await?;
        let [rows, confirmed, declined, left, open] = [row.0, row.1, row.2, row.3, row.4].map(i64::unsigned_abs);
        Ok(Ended { rows, confirmed, declined, left, open })
    }

    /// Units of a sale that are free, and its orders that may still give some back.
    pub(crate) async fn free_and_open(&self, sale: &str) -> Result<(u64, u64), Failure> {
        let sql = format!(
            "SELECT (SELECT COALESCE(SUM(total - allocated), 0) FROM item WHERE sale = ?1),
                    (SELECT COUNT(*) FROM orders WHERE sale = ?1 AND state IN {OPEN})"
        );
        let row: (i64, i64) = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(sale).fetch_one(&self.pool).await?;
        Ok((row.0.unsigned_abs(), row.1.unsigned_abs()))
    }

    /// Rows of coupons of a campaign, and distinct members among them, by window.
    pub(crate) async fn coupons(&self, campaign: &str) -> Result<Vec<(String, u64, u64)>, Failure> {
        let rows: Vec<(String, i64, i64)> = sqlx::query_as(
            "SELECT \"window\", COUNT(*), COUNT(DISTINCT member) FROM coupon WHERE campaign = ? GROUP BY 1 ORDER BY 1",
        )
        .bind(campaign)
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(|(window, n, members)| (window, n.unsigned_abs(), members.unsigned_abs())).collect())
    }
}
