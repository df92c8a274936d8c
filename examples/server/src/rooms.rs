//! Which sales have a waiting room before them, under which terms, and the keys that sign for all servers: kept beside the ledger.
//!
//! The store of rooms may forget them all; what stands here brings them back, so no sale ever stands open because its room was lost. A room has the
//! sale's name. Who waits in it is the store's business.

use std::collections::BTreeMap;
use std::time::Duration;

use flashsale_core::engine::Host;
use flashsale_core::error::ErrorKind;
use flashsale_core::queue::{Keyring, Levels, Mode, Pace, Schedule, Terms};
use flashsale_core::sale::Window;
use flashsale_core::{BackendError, FlashSale, RoomId, SaleId, Timestamp};
use sqlx::QueryBuilder;

use crate::config::Config;
use crate::own::{self, Own, Table, with};

const ROOMS: Table = Table {
    there: "SELECT sale FROM sale_room WHERE sale = ''",
    sqlite: "CREATE TABLE IF NOT EXISTS sale_room (sale TEXT NOT NULL PRIMARY KEY, terms TEXT NOT NULL, \
             life INTEGER NOT NULL DEFAULT 0, edition INTEGER NOT NULL DEFAULT 0) STRICT",
    postgres: "CREATE TABLE IF NOT EXISTS sale_room (sale text COLLATE \"C\" NOT NULL PRIMARY KEY, terms text NOT NULL, \
               life bigint NOT NULL DEFAULT 0, edition bigint NOT NULL DEFAULT 0)",
    mysql: "CREATE TABLE IF NOT EXISTS sale_room (sale VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL PRIMARY KEY, \
            terms TEXT CHARACTER SET utf8mb4 NOT NULL, life BIGINT NOT NULL DEFAULT 0, edition BIGINT NOT NULL DEFAULT 0)",
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
    // Settings are within the bounds of terms: a test says so to whoever changes either.
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

/// Whether a row was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Added {
    Now,
    /// There was one.
    Before,
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

    /// Writes down that a sale has a room, under terms that were checked. One that it has keeps its terms.
    pub(crate) async fn add(&self, sale: &SaleId, terms: &Terms) -> Result<Added, BackendError> {
        self.insert("sale_room", ["sale", "terms"], [sale.to_string(), written(terms)]).await
    }

    /// Takes a room out of the book again: its sale was not written down.
    pub(crate) async fn take_out(&self, sale: &SaleId) -> Result<(), BackendError> {
        with!(&self.0, pool => {
            let mut delete = QueryBuilder::<Db>::new("DELETE FROM sale_room WHERE sale = ");
            delete.push_bind(sale.as_str().to_owned());
            delete.build().execute(pool).await.map(drop)
        })
        .map_err(failed)
    }

    /// Writes a row, unless there is one of its key.
    async fn insert(&self, table: &str, columns: [&str; 2], values: [String; 2]) -> Result<Added, BackendError> {
        let [key, value] = columns;
        let done = with!(&self.0, pool => {
            let mut insert = QueryBuilder::<Db>::new(format!("INSERT INTO {table} ({key}, {value}) VALUES ("));
            let mut list = insert.separated(", ");
            for value in values {
                list.push_bind(value);
            }
            insert.push(")");
            insert.build().execute(pool).await.map(drop)
        });
        match done {
            Ok(()) => Ok(Added::Now),
            Err(error) if error.as_database_error().is_some_and(|error| error.is_unique_violation()) => {
                Ok(Added::Before)
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// Writes down how a room stands in its store, unless something newer is written down.
    pub(crate) async fn change(&self, sale: &SaleId, levels: &Levels) -> Result<(), BackendError> {
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let (life, edition) = (number(levels.generation.0), number(levels.edition));
        with!(&self.0, pool => {
            let mut update = QueryBuilder::<Db>::new("UPDATE sale_room SET terms = ");
            update.push_bind(written(&levels.terms)).push(", life = ").push_bind(life);
            update.push(", edition = ").push_bind(edition).push(" WHERE sale = ").push_bind(sale.as_str().to_owned());
            update.push(" AND (life < ").push_bind(life).push(" OR (life = ").push_bind(life);
            update.push(" AND edition < ").push_bind(edition).push("))");
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
            let terms = serde_json::from_str(&terms).ok().filter(|terms: &Terms| terms.check().is_ok());
            let terms = terms.unwrap_or_else(|| {
                tracing::error!(sale, "the terms of this sale's room cannot be read: it lets nobody through");
                Terms { mode: Mode::Hold, opens_above: 0, closes_below: 0, ..Terms::default() }
            });
            Some((SaleId::new(&sale).ok()?, terms))
        };
        Ok(rows.into_iter().filter_map(read).collect())
    }

    /// Makes every room that is written down known to this server, and no other. Their store is asked when somebody comes. Rooms of sales that have long been over are
    /// not served.
    pub(crate) async fn take_in(&self, flash: &FlashSale, now: Timestamp) -> Result<(), BackendError> {
        let rows = self.all().await?;
        let served = |(sale, terms): (SaleId, Terms)| (!is_past(&terms, now)).then_some((RoomId::from(&sale), terms));
        let rooms: BTreeMap<RoomId, Terms> = rows.into_iter().filter_map(served).collect();
        for (room, terms) in &rooms {
            let known = flash.rooms.standing(room, terms);
            known.map_err(|bad| BackendError::new(ErrorKind::Misconfigured, "rooms", bad))?;
        }
        for room in flash.rooms.all().iter().filter(|room| !rooms.contains_key(room.id())) {
            flash.rooms.put_away(room.id());
        }
        Ok(())
    }
}

/// Whether everything of a room has ended, its tickets too.
fn is_past(terms: &Terms, now: Timestamp) -> bool {
    terms.schedule.is_some_and(|schedule| now >= schedule.closes_at.after(terms.remembers))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{TABLE, Values};

    #[test]
    fn whatever_the_settings_a_room_has_terms_within_their_bounds() {
        let bounds = TABLE.iter().filter(|entry| entry.key.starts_with("room."));
        let bounds: Vec<(&str, Vec<&str>)> =
            bounds.map(|entry| (entry.key, entry.bounds.split(" to ").collect())).collect();
        assert_eq!(bounds.len(), 9);
        let flag = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        for which in [0, 1] {
            let flags: Vec<_> = bounds.iter().map(|(key, ends)| flag(key, ends[which])).collect();
            let config = Values::gather(None, [], flags).unwrap().config().unwrap();
            let window = Window { opens_at: Timestamp::from_ms(1), closes_at: Timestamp::from_ms(2) };
            for window in [Window::ALWAYS, window] {
                assert_eq!(terms(&config, window).check(), Ok(()), "{which}");
            }
        }
        for (key, ends) in &bounds {
            let flags = [flag(key, ends[0]), flag("room.open_above", "0")];
            let config = Values::gather(None, [], flags).unwrap().config().unwrap();
            assert_eq!(terms(&config, Window::ALWAYS).check(), Ok(()), "{key}");
        }
    }
}
