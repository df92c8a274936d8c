//! The table of settings: the one source of their names, defaults, bounds and reasons.
//!
//! The page `docs/reference/config.md`, the flags, the names in the environment and the refusal of unknown keys all come from
//! here. Does not read anything.

use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use flashsale_core::SaleId;
use flashsale_kafka::KafkaConfig;
use flashsale_redis::RedisConfig;
use sqlx::mysql::MySqlConnectOptions;
use sqlx::postgres::PgConnectOptions;

use super::mail::{MailFrom, MailUrl, PublicUrl};

/// One setting.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its name: `group.name`.
    pub key: &'static str,
    /// What it is when nobody says; empty where that is nothing at all.
    pub default: &'static str,
    /// Between what and what it may be; empty where the type says it.
    pub bounds: &'static str,
    /// What it sets.
    pub what: &'static str,
    /// Why the default is what it is.
    pub why: &'static str,
}

impl Entry {
    /// Its default as a person reads it.
    #[must_use]
    pub fn default_shown(&self) -> &'static str {
        if self.default.is_empty() { "none" } else { self.default }
    }

    /// Its name as a flag: `--http.header-timeout-ms`.
    #[must_use]
    pub fn flag(&self) -> String {
        self.key.replace('_', "-")
    }

    /// Its name in the environment: `FLASHSALE_HTTP__HEADER_TIMEOUT_MS`.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("{}{}", super::PREFIX, self.key.replace('.', "__").to_uppercase())
    }
}

/// For what an order, or a claim, waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Intake {
    /// For the ledger's decision.
    Ledger,
    /// For the log on Kafka.
    Log,
    /// For a log in this process's memory.
    VolatileLog,
}

impl Intake {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Ledger => "ledger",
            Self::Log => "log",
            Self::VolatileLog => "volatile-log",
        }
    }
}

/// Something that can be switched on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Switch {
    /// It is on.
    On,
    /// It is off.
    Off,
}

/// A share of one: 0 is never, 1 always.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate(pub f64);

/// What the ledger is kept in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Database {
    /// This file of SQLite.
    Sqlite(PathBuf),
    /// PostgreSQL.
    Postgres,
    /// MariaDB or MySQL.
    MySql,
}

/// Where the ledger is. Its [`Debug`] leaves user and password out.
#[derive(Clone, PartialEq, Eq)]
pub struct SqlUrl {
    text: String,
    database: Database,
}

impl SqlUrl {
    /// The URL, with its password.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.text
    }

    /// What it leads to.
    #[must_use]
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// The word for it: its scheme.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self.database {
            Database::Sqlite(_) => "sqlite",
            Database::Postgres => "postgres",
            Database::MySql => "mysql",
        }
    }
}

impl fmt::Debug for SqlUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&super::redacted("sql.url", &self.text))
    }
}

/// Where Redis is. Its [`Debug`] leaves user and password out.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl(String);

impl RedisUrl {
    /// The URL, with its password.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&super::redacted("redis.url", &self.0))
    }
}

/// How keys in Redis begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPrefix(pub String);

/// Brokers of Kafka: `HOST:PORT`, parted by commas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brokers(pub String);

/// What names of topics and groups in Kafka begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicPrefix(pub String);

/// A value that can be read from the text of a setting.
pub(super) trait Setting: Sized {
    fn read(text: &str, bounds: Option<RangeInclusive<u64>>) -> Result<Self, String>;
}

impl Setting for u64 {
    fn read(text: &str, bounds: Option<RangeInclusive<u64>>) -> Result<Self, String> {
        let number: Self = text.parse().map_err(|_| "it is a whole number".to_owned())?;
        match bounds {
            Some(bounds) if !bounds.contains(&number) => {
                Err(format!("it is from {} to {}", bounds.start(), bounds.end()))
            }
            _ => Ok(number),
        }
    }
}

impl Setting for Rate {
    fn read(text: &str, _: Option<RangeInclusive<u64>>) -> Result<Self, String> {
        match text.parse::<f64>() {
            Ok(share) if (0.0..=1.0).contains(&share) => Ok(Self(share)),
            _ => Err("it is a share from 0 to 1".to_owned()),
        }
    }
}

impl Setting for Switch {
    fn read(text: &str, _: Option<RangeInclusive<u64>>) -> Result<Self, String> {
        match text {
            "true" | "on" => Ok(Self::On),
            "false" | "off" => Ok(Self::Off),
            _ => Err("it is true or false".to_owned()),
        }
    }
}

impl Setting for Intake {
    fn read(text: &str, _: Option<RangeInclusive<u64>>) -> Result<Self, String> {
        let all = [Self::Ledger, Self::Log, Self::VolatileLog];
        let found = all.into_iter().find(|intake| intake.word() == text);
        found.ok_or_else(|| "it is ledger, log or volatile-log".to_owned())
    }
}

impl Setting for SocketAddr {
    fn read(text: &str, _: Option<RangeInclusive<u64>>) -> Result<Self, String> {
        text.parse().map_err(|_| "it is an address and a port, such as 127.0.0.1:8080".to_owned())
    }
}

impl Setting for SaleId {
    fn read(text: &str, _: Option<RangeInclusive<u64>>) -> Result<Self, String> {
        Self::new(text).map_err(|bad| bad.to_string())
    }
}

impl Setting for String {
    fn read(text: &str, _: Option<RangeInclusive<u64>>) -> Result<Self, String> {
        if text.is_empty() { Err("it is not empty".to_owned()) } else { Ok(text.to_owned()) }
    }
}

impl Setting for PathBuf {
    fn read(text: &str, _: Option<RangeInclusive<u64>>) -> Result<Self, String> {
        Ok(Self::from(text))
    }
}

impl Setting for SqlUrl {
    fn read(text: &str, _: Option<RangeInclusive<u64>>) -> Result<Self, String> {
        // The drivers tell what is wrong without the value.
        let wrong = |error: sqlx::Error| error.to_string();
        let database = match text.split_once("://") {
            Some(("sqlite", rest)) => match rest.split('?').next() {
                Some(path) if !path.is_empty() && path != ":memory:" => Database::Sqlite(PathBuf::from(path)),
                _ => return Err("the ledger is a file: sqlite://PATH".to_owned()),
            },
            Some(("postgres" | "postgresql", _)) => {
                PgConnectOptions::from_str(text).map(|_| Database::Postgres).map_err(wrong)?
            }
            Some(("mysql" | "mariadb", _)) => {
                MySqlConnectOptions::from_str(text).map(|_| Database::MySql).map_err(wrong)?
            }
            _ => return Err("it begins with sqlite://PATH, postgres:// or mysql:// (MariaDB too)".to_owned()),
        };
        Ok(Self { text: text.to_owned(), database })
    }
}

impl Setting for RedisUrl {
    fn read(text: &str, _: Option<RangeInclusive<u64>>) -> Result<Self, String> {
        // What is no URL at all may be a password all the same: no word of it is told.
        if !text.contains("://") {
            return Err("it begins with redis://, redis+sentinel:// or redis+cluster:// (rediss for TLS)".to_owned());
        }
        RedisConfig::new(text).map(|_| Self(text.to_owned())).map_err(|bad| bad.to_string())
    }
}

impl Setting for KeyPrefix {
    fn read(text: &str, _: Option<RangeInclusive<u64>>) -> Result<Self, String> {
        let anywhere = RedisConfig::new("redis://localhost").map_err(|bad| bad.to_string())?;
        anywhere.prefix(text).map(|_| Self(text.to_owned())).map_err(|bad| bad.to_string())
    }
}

impl Setting for Brokers {
    fn read(text: &str, _: Option<RangeInclusive<u64>>) -> Result<Self, String> {
        KafkaConfig::new(text).map(|_| Self(text.to_owned())).map_err(|bad| bad.to_string())
    }
}

impl Setting for TopicPrefix {
    fn read(text: &str, _: Option<RangeInclusive<u64>>) -> Result<Self, String> {
        let anywhere = KafkaConfig::new("localhost:9092").map_err(|bad| bad.to_string())?;
        anywhere.prefix(text).map(|_| Self(text.to_owned())).map_err(|bad| bad.to_string())
    }
}

/// A setting that may be left out: it is, where its text is empty.
impl<T: Setting> Setting for Option<T> {
    fn read(text: &str, bounds: Option<RangeInclusive<u64>>) -> Result<Self, String> {
        if text.is_empty() { Ok(None) } else { T::read(text, bounds).map(Some) }
    }
}

macro_rules! settings {
    ($($key:literal $field:ident: $kind:ty = $default:literal $(in $least:literal to $most:literal)?, $what:literal, $why:literal;)*) => {
        /// What the server was told, every value within its bounds.
        #[derive(Debug, Clone, PartialEq)]
        pub struct Config {
            $(#[doc = $what] pub $field: $kind,)*
        }

        /// All settings, in the order of the page.
        pub const TABLE: &[Entry] = &[$(Entry {
            key: $key,
            default: $default,
            bounds: concat!($(stringify!($least), " to ", stringify!($most))?),
            what: $what,
            why: $why,
        },)*];

        impl Config {
            /// Reads every setting from its text.
            pub(super) fn read(values: &super::Values) -> Result<Self, super::ConfigError> {
                Ok(Self {
                    $($field: {
                        let (text, origin) = values.text($key);
                        let bounds: Option<RangeInclusive<u64>> = None $(.or(Some($least..=$most)))?;
                        <$kind as Setting>::read(text, bounds).map_err(|why| super::ConfigError::Value {
                            key: $key, value: super::redacted($key, text), origin: origin.to_string(), why,
                        })?
                    },)*
                })
            }
        }
    };
}

settings! {
    "http.bind" http_bind: SocketAddr = "127.0.0.1:8080",
        "Where the server listens; port 0 takes a free one",
        "Loopback, because an example has no log-in yet and nobody else should reach it.";
    "http.header_timeout_ms" http_header_timeout_ms: u64 = "5000" in 10 to 600000,
        "How long a client may take to send a request's head",
        "Heads arrive within a second even over bad networks, and a slow client must not keep a connection for ever.";
    "http.request_timeout_ms" http_request_timeout_ms: u64 = "10000" in 10 to 600000,
        "How long a request may take; then the answer is 503 `unknown`: repeat with the same key",
        "A hold lasts 30 seconds, so a request that is given up after 10 can still be repeated within it.";
    "http.body_bytes_max" http_body_bytes_max: u64 = "16384" in 1024 to 1048576,
        "The largest body",
        "An order of 16 lines with an address of 4 KiB fits three times over.";
    "http.connections_max" http_connections_max: u64 = "20000" in 1 to 1000000,
        "The most connections; more wait to be accepted",
        "Each costs some tens of kilobytes, so this many fit into a small machine.";
    "http.in_flight_max" http_in_flight_max: u64 = "2048" in 1 to 1000000,
        "The most requests at the same time; more are answered 503 `shedding`",
        "Eight full batches: more would only wait, and waiting is what a client does better by itself.";
    "http.drain_ms" http_drain_ms: u64 = "0" in 0 to 600000,
        "How long a server that is told to stop serves on, while `/readyz` says that it leaves",
        "Who has no balancer waits for nothing; with one, a little more than it takes to notice.";
    "http.shutdown_ms" http_shutdown_ms: u64 = "15000" in 0 to 600000,
        "How long a shutdown waits for what is on its way",
        "Longer than a request may take, so that every answer still goes out.";
    "http.public_url" http_public_url: PublicUrl = "http://127.0.0.1:8080",
        "Where members reach the shop: what links in mail begin with",
        "What `http.bind` is by default; behind a proxy it is the name that members know.";
    "mail.url" mail_url: Option<MailUrl> = "file://flashsale-data/outbox",
        "How members are told: `file://FOLDER`, `smtps://USER:PASSWORD@HOST`, `smtp+starttls://..` or `smtp://HOST`; empty tells nobody",
        "Files beside the ledger show every letter and reach nobody by mistake.";
    "mail.from" mail_from: MailFrom = "flashsale <no-reply@flashsale.invalid>",
        "Who letters are from",
        "A domain that cannot exist: a shop has to say its own before a server takes its letters.";
    "mail.timeout_ms" mail_timeout_ms: u64 = "10000" in 100 to 10000,
        "How long one letter may take; then it is sent again later",
        "Servers answer within a second or two; more is a fault, and a batch has to end within a minute.";
    "mail.lanes" mail_lanes: u64 = "4" in 1 to 64,
        "The most conversations with the mail server at the same time",
        "Servers limit them, many at ten; four send some dozens of letters a second.";
    "sql.url" sql_url: SqlUrl = "sqlite://flashsale-data/flashsale.db",
        "The ledger's database: `sqlite://PATH`, `postgres://USER@HOST/DATABASE` or `mysql://USER@HOST/DATABASE` (MariaDB too)",
        "A file in a directory of its own needs nothing to be installed and survives a crash.";
    "redis.url" redis_url: Option<RedisUrl> = "",
        "Where the gate is: `redis://`, `redis+sentinel://` or `redis+cluster://` (`rediss` for TLS); without it, in this process's memory",
        "One process needs no other program; several on one ledger need a gate that they share.";
    "redis.prefix" redis_prefix: KeyPrefix = "fs",
        "How keys in Redis begin",
        "Short, since every key has it, and different shops can share a server by another.";
    "redis.response_timeout_ms" redis_response_timeout_ms: u64 = "500" in 1 to 60000,
        "How long one call of Redis may take before its outcome is unknown",
        "A batch takes a few milliseconds, so half a second of silence is a fault.";
    "redis.ca" redis_ca: Option<PathBuf> = "",
        "A PEM file with the certificates that a TLS server's own must lead to; without it, those of the machine",
        "Servers with public certificates need nothing more.";
    "kafka.brokers" kafka_brokers: Option<Brokers> = "",
        "Where events travel: brokers of Kafka, `HOST:PORT`, parted by commas; without them, within this process",
        "One process needs no other program; other systems, and processes that share the work of a group, need a broker.";
    "kafka.topic_prefix" kafka_topic_prefix: TopicPrefix = "flashsale",
        "What names of topics and groups begin with, and types of events",
        "Different shops can share brokers by another.";
    "kafka.partitions" kafka_partitions: u64 = "12" in 1 to 10000,
        "Partitions of topics that are made at the start; those that are there stay as they are",
        "Twelve processes can share the work of a group, and twelve can be parted by two, three, four and six.";
    "kafka.replication" kafka_replication: u64 = "3" in 1 to 100,
        "Replicas of topics that are made at the start, at most the number of brokers",
        "With three, and `min.insync.replicas=2` on the brokers, a lost broker loses nothing.";
    "retention.versions_d" retention_versions_d: u64 = "1" in 1 to 3650,
        "How many days versions of a sale's stock are kept, by which a ledger that was put back is told",
        "A gate follows within seconds, and one that is a day late is loaded anew.";
    "retention.outbox_d" retention_outbox_d: u64 = "7" in 0 to 3650,
        "How many days events are kept after they were sent, as the history of orders; 0 keeps them for ever",
        "A week is enough to look into a complaint; the orders themselves are never deleted.";
    "sale.ordinary" sale_ordinary: SaleId = "shop",
        "The standing sale of orders that name none",
        "Ordinary items are a sale without an end, so they take the same path and have the same promises.";
    "sale.hold_ms" sale_hold_ms: u64 = "30000" in 10 to 3600000,
        "How long the gate holds units, for sales that do not say",
        "Thirty seconds outlast every request deadline.";
    "sale.pay_within_s" sale_pay_within_s: u64 = "600" in 0 to 604800,
        "How long a buyer has to pay, for sales that do not say",
        "Ten minutes suffice for a payment page.";
    "sale.offer_within_s" sale_offer_within_s: u64 = "1800" in 1 to 2592000,
        "How long a member has to take an offer of the waitlist, from the moment at which he was told",
        "Half an hour is long enough to read mail, and short enough that the next in line is reached on the same day.";
    "sale.intake" sale_intake: Intake = "ledger",
        "For what orders and claims wait: the `ledger` (the answer is durable), or the `log` on Kafka (the answer is `recorded`, the ledger decides later); `volatile-log` is a log in this process's memory",
        "Only the ledger's answer needs no second look; a log is for a flood that the ledger cannot take at once, and needs `kafka.brokers`.";
    "room.open_above" room_open_above: u64 = "500" in 0 to 10000000,
        "More arrivals than this within `room.open_within_s` open the waiting room before a sale; 0 opens it with the first",
        "Some dozens of buyers a second are served without a line on a small machine; a rush is ten times that.";
    "room.open_within_s" room_open_within_s: u64 = "10" in 1 to 3600,
        "The window in which arrivals are counted",
        "Short enough to meet a rush in its first seconds, long enough that a burst of one is none.";
    "room.close_below" room_close_below: u64 = "200" in 0 to 10000000,
        "The room closes when nobody waits and fewer than this arrived within the window; at most `room.open_above`",
        "Well below the other threshold, so that it does not open and close all the time.";
    "room.admit_per_minute" room_admit_per_minute: u64 = "600" in 1 to 1000000,
        "How many are let through in a minute",
        "Ten a second leave a checkout time to breathe; a rehearsal tells what yours can take.";
    "room.capacity" room_capacity: u64 = "300" in 1 to 1000000,
        "The most members who have a turn at the same time",
        "With ten a second and half a minute for a purchase, this many are inside.";
    "room.turn_s" room_turn_s: u64 = "180" in 1 to 86400,
        "How long a turn lasts",
        "Three minutes suffice for an address and a payment.";
    "room.extensions" room_extensions: u64 = "1" in 0 to 10,
        "How often a turn can be made longer by as much again",
        "Whoever needs more time gets it once, and others wait behind him.";
    "room.absent_after_s" room_absent_after_s: u64 = "300" in 1 to 86400,
        "Who was not seen for this long loses his turn when it comes, not his number",
        "Phones sleep, and five minutes are longer than a page sleeps in a pocket on the way.";
    "room.prejoin_s" room_prejoin_s: u64 = "600" in 0 to 86400,
        "How long before a sale opens places are given already",
        "Who comes ten minutes early wants to stand in line, not to press a button again and again.";
    "batch.reserve_max" batch_reserve_max: u64 = "256" in 1 to 500,
        "The most requests in one call of the gate",
        "Larger batches gain little and delay the first of them.";
    "batch.accept_max" batch_accept_max: u64 = "256" in 1 to 500,
        "The most orders in one accepting transaction",
        "One commit for so many makes the disk's share of an order small; more only delays the first of them.";
    "batch.intake_max" batch_intake_max: u64 = "500" in 1 to 500,
        "The most recorded requests in one accepting transaction, and in one append to the log",
        "Nobody waits for the first of them, so the batch is as large as it may be.";
    "payment.decline_rate" payment_decline_rate: Rate = "0.2",
        "How often the simulated provider declines",
        "One in five shows what becomes of units that come back.";
    "payment.leave_rate" payment_leave_rate: Rate = "0",
        "How often the simulated buyer leaves the payment page",
        "Who tries the page by hand should see his own order end well.";
    "payment.unknown_rate" payment_unknown_rate: Rate = "0",
        "How often the simulated provider's answer is lost",
        "A lost answer takes seconds to clear up, which a first look should not meet.";
    "payment.latency_ms" payment_latency_ms: u64 = "20" in 0 to 60000,
        "How long each answer of the simulated provider takes",
        "Long enough to be seen under way, short enough not to be waited for.";
    "payment.lanes" payment_lanes: u64 = "16" in 1 to 4096,
        "The most payments asked for at the same time",
        "Providers limit it, most of them near this.";
    "payment.seed" payment_seed: u64 = "1" in 0 to 18446744073709551615,
        "Which fates the simulated provider draws",
        "The same seed and key meet the same fate again, also after a restart.";
    "limits.sse_max" limits_sse_max: u64 = "10000" in 0 to 1000000,
        "The most live streams at the same time; more are answered 503 `streams_full`",
        "Half of the connections, so that watching never keeps anybody from buying.";
    "dev.members" dev_members: Switch = "true",
        "Whether a buyer is whoever the header `Flashsale-Member` says, and sales and campaigns can be written down by anybody",
        "The example has no log-in yet; the server says so loudly and refuses it on anything but loopback.";
    "dev.clock" dev_clock: Switch = "false",
        "Whether the clock can be moved by `PUT /dev/v1/clock`",
        "A moved clock ends holds and orders early, so it is asked for by name.";
    "dev.clock_at_ms" dev_clock_at_ms: u64 = "0" in 0 to 253402300799000,
        "Where the clock stands at the start, in milliseconds since 1970, while `dev.clock` is on and if the machine's is not later",
        "A moved clock goes with its process, so one that is started again has to be told.";
    "telemetry.log" telemetry_log: String = "info",
        "What is logged, as `tracing` filters say it",
        "Starts, stops and failures; nothing per request.";
    "seed.enabled" seed_enabled: Switch = "true",
        "Whether a sale and a campaign are written down at the start, if they are not there",
        "A first look needs something to buy.";
}
