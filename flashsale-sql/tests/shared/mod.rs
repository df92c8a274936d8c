//! What the tests of this crate share: a ledger in a directory of its own, a sale, purchases.

#![allow(dead_code, reason = "each test file uses a part")]

pub(crate) mod lost;

#[cfg(feature = "sqlite")]
use std::path::PathBuf;
use std::time::Duration;

use flashsale_core::id::ContentHash;
use flashsale_core::sale::{Line, Lines};
use flashsale_core::stock::{Accept, Acceptance, Accepted, OrderState, Then};
use flashsale_core::unit::Quantity;
use flashsale_core::{Item, Money, OrderId, Sale, SaleId, won};
#[cfg(feature = "sqlite")]
use flashsale_sql::SqliteLedger;
#[cfg(feature = "sqlite")]
use tempfile::TempDir;

#[cfg(feature = "sqlite")]
/// A file that goes away with the test.
pub(crate) struct Place(TempDir);

#[cfg(feature = "sqlite")]
impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.0.path().join("ledger.db")
    }

    pub(crate) async fn ledger(&self) -> SqliteLedger {
        SqliteLedger::open(self.file()).await.expect("a new file")
    }

    /// Reads the file as a stranger does, with his own connection.
    pub(crate) async fn count(&self, sql: &'static str) -> i64 {
        use sqlx::Connection;
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(self.file());
        let mut stranger = sqlx::SqliteConnection::connect_with(&options).await.expect("the file");
        sqlx::query_scalar(sql).fetch_one(&mut stranger).await.expect("a number")
    }
}

pub(crate) fn sale_id() -> SaleId {
    SaleId::new("drop").expect("an id")
}

pub(crate) fn price() -> Money {
    won(1_000)
}

/// A sale of `units` sneakers, two per buyer, and 1,000 hats.
pub(crate) fn sale(units: u64) -> Sale {
    let sneaker = Item::named("sneaker").unwrap().units(units).unwrap().price(price()).per_buyer(2).unwrap();
    let hat = Item::named("hat").unwrap().units(1_000).unwrap().price(won(10)).per_buyer(1_000).unwrap();
    Sale::named("drop").unwrap().item(sneaker).item(hat)
}

pub(crate) fn lines(lines: &[(&str, u64)]) -> Lines {
    let line =
        |(item, units): &(&str, u64)| Line { item: item.parse().unwrap(), units: Quantity::new(*units).unwrap() };
    Lines::new(lines.iter().map(line).collect()).unwrap()
}

/// One sneaker for `buyer~key`, to be paid within a minute.
pub(crate) fn one(id: &str) -> Accept {
    buys(id, &[("sneaker", 1)])
}

pub(crate) fn buys(id: &str, what: &[(&str, u64)]) -> Accept {
    let lines = lines(what);
    let text = format!("{lines:?}");
    Accept {
        id: OrderId::new(id).unwrap(),
        hash: ContentHash::over([text.as_bytes()]),
        lines,
        hold: None,
        expect: None,
        coupon: None,
        method: None,
        note: None,
        then: Then::Pay { within: Duration::from_secs(60) },
        trace: None,
    }
}

pub(crate) fn batch(from: usize, count: usize) -> Vec<Accept> {
    (from..from + count).map(|n| one(&format!("buyer-{n:07}~k"))).collect()
}

/// The states of what was decided now.
pub(crate) fn states(accepted: &Accepted) -> Vec<Option<OrderState>> {
    let state = |answer: &Acceptance| match answer {
        Acceptance::Decided(order) | Acceptance::Already(order) => Some(order.state),
        _ => None,
    };
    accepted.answers.iter().map(state).collect()
}

pub(crate) fn accepted(answers: &Accepted) -> usize {
    states(answers).iter().filter(|state| **state == Some(OrderState::Accepted)).count()
}
