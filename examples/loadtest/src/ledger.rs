//! Reads the ledger's rows: with this tool's own SQL, on a connection that cannot write.
//!
//! Owns the plain figures. How each database is asked is in [`rows`](crate::rows); what must not be found is
//! [`audit`](crate::audit)'s.

use crate::Failure;
use crate::rows::Rows;

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

/// The ledger's database.
#[derive(Debug, Clone)]
pub(crate) struct Ledger {
    pub(crate) rows: Rows,
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

/// An offer to one on the waitlist, as its rows have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OfferRow {
    /// The number in the line of whom it was made to.
    pub(crate) number: u64,
    /// What became of it.
    pub(crate) state: String,
    /// Facts that it was made.
    pub(crate) made: u64,
    /// Facts that its notice was handed over.
    pub(crate) told: u64,
}

impl Ledger {
    /// Opens the database of a URL for reading.
    pub(crate) async fn open(url: &str) -> Result<Self, Failure> {
        Ok(Self { rows: Rows::open(url).await? })
    }

    /// The sales of a scope: those that it names, and the windows of its campaigns.
    pub(crate) async fn sales(&self, scope: &Scope) -> Result<Vec<String>, Failure> {
        let mut sales = scope.sales.clone();
        for campaign in &scope.campaigns {
            // ';' is the character after ':': this is "begins with `campaign:`" by the index.
            let (from, to) = (format!("{campaign}:"), format!("{campaign};"));
            let text = "SELECT id FROM sale WHERE id >= ? AND id < ? ORDER BY id";
            for row in self.rows.of(text, &[&from, &to]).await? {
                sales.push(row.text(0)?);
            }
        }
        Ok(sales)
    }

    /// How the orders of one sale ended, so far.
    pub(crate) async fn ended(&self, sale: &str) -> Result<Ended, Failure> {
        let text = format!(
            "SELECT COUNT(*), COUNT(CASE WHEN state = 'confirmed' THEN 1 END),
                    COUNT(CASE WHEN state = 'cancelled' AND reason IN ('declined', 'insufficient') THEN 1 END),
                    COUNT(CASE WHEN state = 'cancelled' AND reason = 'buyer_left' THEN 1 END),
                    COUNT(CASE WHEN state IN {OPEN} THEN 1 END)
             FROM orders WHERE sale = ?"
        );
        let row = self.rows.one(&text, &[sale]).await?;
        Ok(Ended {
            rows: row.count(0)?,
            confirmed: row.count(1)?,
            declined: row.count(2)?,
            left: row.count(3)?,
            open: row.count(4)?,
        })
    }

    /// Units of a sale that are free, and its orders that may still give some back.
    pub(crate) async fn free_and_open(&self, sale: &str) -> Result<(u64, u64), Failure> {
        let text = format!(
            "SELECT (SELECT CAST(COALESCE(SUM(total - allocated), 0) AS BIGINT) FROM item WHERE sale = ?),
                    (SELECT COUNT(*) FROM orders WHERE sale = ? AND state IN {OPEN})"
        );
        let row = self.rows.one(&text, &[sale, sale]).await?;
        Ok((row.count(0)?, row.count(1)?))
    }

    /// Who has an order in a sale that was not refused.
    pub(crate) async fn buyers(&self, sale: &str) -> Result<Vec<String>, Failure> {
        let text = "SELECT DISTINCT buyer FROM orders WHERE sale = ? AND state <> 'refused'";
        self.rows.of(text, &[sale]).await?.iter().map(|row| row.text(0)).collect()
    }

    /// Offers of a sale that are open.
    pub(crate) async fn offered(&self, sale: &str) -> Result<u64, Failure> {
        let text = "SELECT COUNT(*) FROM orders WHERE sale = ? AND state = 'offered'";
        self.rows.one(text, &[sale]).await?.count(0)
    }

    /// All offers of a sale, in the order in which they were made.
    pub(crate) async fn offers(&self, sale: &str) -> Result<Vec<OfferRow>, Failure> {
        let text = "SELECT w.number, w.state, COUNT(*),
                    (SELECT COUNT(*) FROM outbox n WHERE n.kind = 'notice.sent'
                     AND n.subject LIKE CONCAT(w.offer, '/%/waitlist.offered'))
             FROM waitlist w JOIN outbox x ON x.subject = w.offer AND x.kind = 'waitlist.offered'
             WHERE w.sale = ? GROUP BY w.offer, w.number, w.state ORDER BY MIN(x.no)";
        let rows = self.rows.of(text, &[sale]).await?;
        let row = |row: &crate::rows::Row| {
            Ok(OfferRow { number: row.count(0)?, state: row.text(1)?, made: row.count(2)?, told: row.count(3)? })
        };
        rows.iter().map(row).collect()
    }

    /// Rows of coupons of a campaign, and distinct members among them, by window.
    pub(crate) async fn coupons(&self, campaign: &str) -> Result<Vec<(String, u64, u64)>, Failure> {
        let text = "SELECT \"window\", COUNT(*), COUNT(DISTINCT member) FROM coupon WHERE campaign = ? \
                    GROUP BY \"window\" ORDER BY \"window\"";
        let rows = self.rows.of(text, &[campaign]).await?;
        rows.iter().map(|row| Ok((row.text(0)?, row.count(1)?, row.count(2)?))).collect()
    }
}
