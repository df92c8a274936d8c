//! Which sales have a waiting room before them, under which terms, and the keys that sign for all servers: kept beside the ledger.
//!
//! The store of rooms may forget them all; what stands here brings them back, so no sale ever stands open because its room was lost. A room has the
//! sale's name. Who waits in it is the store's business.

use std::time::Duration;

use flashsale_core::engine::Host;
use flashsale_core::error::ErrorKind;
use flashsale_core::queue::{Keyring, Pace, Schedule, Terms};
use flashsale_core::sale::Window;
use flashsale_core::{BackendError, FlashSale, SaleId};
use sqlx::QueryBuilder;

use crate::config::Config;
use crate::own::{self, Own, Table, with};

const ROOMS: Table = Table {
    there: "SELECT sale FROM sale_room WHERE sale = ''",
    sqlite: "CREATE TABLE IF NOT EXISTS sale_room (sale TEXT NOT NULL PRIMARY KEY, terms TEXT NOT NULL) STRICT",
    postgres: "CREATE TABLE IF NOT EXISTS sale_room (sale text COLLATE \"C\" NOT NULL PRIMARY KEY, terms text NOT NULL)",
    mysql: "CREATE TABLE IF NOT EXISTS sale_room (sale VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL PRIMARY KEY, \
            terms TEXT CHARACTER SET utf8mb4 NOT NULL)",
};

const KEYS: Table = Table {
    there: "SELECT name FROM room_keys WHERE name = ''",
    sqlite: "CREATE TABLE IF NOT EXISTS room_keys (name TEXT NOT NULL PRIMARY KEY, ring TEXT NOT NULL) STRICT",
    postgres: "CREATE TABLE IF NOT EXISTS room_keys (name text COLLATE \"C\" NOT NULL PRIMARY KEY, ring text NOT NULL)",
    mysql: "CREATE TABLE IF NOT EXISTS room_keys (name VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL PRIMARY KEY, \
            ring TEXT CHARACTER SET utf8mb4 NOT NULL)",
};

/// The terms of a room before a sale with this window, as the settings have them.
pub(crate) fn terms(config: &Config, window: Window) -> Terms {
    let seconds = Duration::from_secs;
    let schedule = (window != Window::ALWAYS).then_some(Schedule {
        opens_at: window.opens_at,
        prejoin: seconds(config.room_prejoin_s),
        closes_at: window.closes_at,
    });
    // Settings are within the bounds of terms; `check` says so to whoever changes either.
    let small = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    Terms {
        opens_above: small(config.room_open_above),
        within: seconds(config.room_open_within_s),
        closes_below: small(config.room_close_below.min(config.room_open_above)),
        pace: pace(small(config.room_admit_per_minute)),
        capacity: small(config.room_capacity),
        turn: seconds(config.room_turn_s),
        extensions: u8::try_from(config.room_extensions).unwrap_or(u8::MAX),
        absent_after: seconds(config.room_absent_after_s),
        schedule,
        ..Terms::default()
    }
}

/// So many a minute.
pub(crate) fn pace(per_minute: u32) -> Pace {
    Pace { admits: per_minute, per: Duration::from_secs(60) }
}

/// The rooms of the shop, as they are written down. A clone is the same book.
#[derive(Debug, Clone)]
pub(crate) struct RoomBook(Own);

fn failed(error: sqlx::Error) -> BackendError {
    own::failed("rooms", &error)
}

fn unreadable(what: &str) -> BackendError {
    BackendError::new(ErrorKind::Misconfigured, "rooms", format!("{what} cannot be read"))
}

fn written(terms: &Terms) -> String {
    serde_json::to_string(terms).expect("terms are numbers, words and times")
}

impl RoomBook {
    /// Opens the book, and makes its tables if they are not there.
    pub(crate) async fn open(own: &Own) -> Result<Self, BackendError> {
        own.table(&ROOMS).await?;
        own.table(&KEYS).await?;
        Ok(Self(own.clone()))
    }

    /// The keys that sign tickets and admissions: made by the first server that ever starts, the same for all others, also after a restart.
    ///
    /// To rotate, an operator writes another ring into the row and starts the servers again: one line per key, the one that signs first.
    pub(crate) async fn keys(&self, host: &dyn Host) -> Result<Keyring, BackendError> {
        let secret: String = (0..4).map(|_| format!("{:016x}", host.random())).collect();
        self.insert("room_keys", ["name", "ring"], ["rooms".to_owned(), format!("first = {secret}")]).await?;
        let text = "SELECT ring FROM room_keys WHERE name = 'rooms'";
        let ring: String = with!(&self.0, pool => sqlx::query_scalar(text).fetch_one(pool).await).map_err(failed)?;
        Keyring::parse(&ring).map_err(|_| unreadable("the ring of keys"))
    }

    /// Writes down that a sale has a room. One that it has keeps its terms.
    pub(crate) async fn add(&self, sale: &SaleId, terms: &Terms) -> Result<(), BackendError> {
        self.insert("sale_room", ["sale", "terms"], [sale.to_string(), written(terms)]).await
    }

    /// Writes a row, unless there is one of its key.
    async fn insert(&self, table: &str, columns: [&str; 2], values: [String; 2]) -> Result<(), BackendError> {
        let [key, value] = columns;
        let unless = match &self.0 {
            Own::Sqlite(_) | Own::Postgres(_) => format!(" ON CONFLICT ({key}) DO NOTHING"),
            Own::MySql(_) => format!(" ON DUPLICATE KEY UPDATE {key} = {key}"),
        };
        with!(&self.0, pool => {
            let mut insert = QueryBuilder::<Db>::new(format!("INSERT INTO {table} ({key}, {value}) VALUES ("));
            let mut list = insert.separated(", ");
            for value in values {
                list.push_bind(value);
            }
            insert.push(")").push(unless);
            insert.build().execute(pool).await.map(drop)
        })
        .map_err(failed)
    }

    /// Writes other terms of a room down.
    pub(crate) async fn change(&self, sale: &SaleId, terms: &Terms) -> Result<(), BackendError> {
        with!(&self.0, pool => {
            let mut update = QueryBuilder::<Db>::new("UPDATE sale_room SET terms = ");
            update.push_bind(written(terms)).push(" WHERE sale = ").push_bind(sale.as_str().to_owned());
            update.build().execute(pool).await.map(drop)
        })
        .map_err(failed)
    }

    /// All that is written down.
    async fn all(&self) -> Result<Vec<(SaleId, Terms)>, BackendError> {
        let rows: Vec<(String, String)> =
            with!(&self.0, pool => sqlx::query_as("SELECT sale, terms FROM sale_room").fetch_all(pool).await)
                .map_err(failed)?;
        let read = |(sale, terms): (String, String)| {
            let bad = || unreadable("the terms of a room");
            Ok((SaleId::new(&sale).map_err(|_| bad())?, serde_json::from_str(&terms).map_err(|_| bad())?))
        };
        rows.into_iter().map(read).collect()
    }

    /// Makes every room that is written down known to this server. Their store is asked when somebody comes.
    pub(crate) async fn take_in(&self, flash: &FlashSale) -> Result<(), BackendError> {
        for (sale, terms) in self.all().await? {
            let known = flash.rooms.standing(&(&sale).into(), &terms);
            known.map_err(|bad| BackendError::new(ErrorKind::Misconfigured, "rooms", bad))?;
        }
        Ok(())
    }
}
