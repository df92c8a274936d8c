//! Where settings come from: flag before environment before file before default, all under the same names.
//!
//! Owns the precedence, the refusal of unknown keys and what is shown of values. The settings themselves are in [`table`].

mod mail;
pub mod table;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use config::{ConfigError as FileError, Source, ValueKind};

pub use mail::{MailFrom, MailUrl, PublicUrl};
pub use table::{
    Brokers, Config, Database, Entry, Intake, KeyPrefix, Rate, RedisUrl, SqlUrl, Switch, TABLE, TopicPrefix,
};

/// What names in the environment begin with.
const PREFIX: &str = "FLASHSALE_";

/// The file that is read where it exists and none is named.
pub const FILE: &str = "flashsale.toml";

/// Where a value comes from; a later one in this list wins.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The table.
    Default,
    /// A file.
    File(PathBuf),
    /// A variable of the environment.
    Environment(String),
    /// A flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment(name) => f.write_str(name),
            Self::Flag(name) => write!(f, "--{name}"),
        }
    }
}

/// Why the server does not start with what it was told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: {why}")]
    File {
        /// Which file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// There is no such setting.
    #[error("{origin}: there is no setting {key}; did you mean {nearest}?")]
    Unknown {
        /// The name.
        key: String,
        /// Where it stands.
        origin: String,
        /// The known name that looks most like it.
        nearest: String,
    },
    /// The value is none of this setting.
    #[error("{key} = {value} ({origin}): {why}")]
    Value {
        /// Which setting.
        key: &'static str,
        /// Its value, redacted.
        value: String,
        /// Where it stands.
        origin: String,
        /// What it must be.
        why: String,
    },
    /// A development switch on an address that others can reach.
    #[error("{0} is on and http.bind is not loopback: anybody could be anybody. Switch it off or bind to 127.0.0.1")]
    Exposed(&'static str),
    /// A log without the brokers that keep it.
    #[error(
        "sale.intake is log and kafka.brokers is none: nothing would keep what is told `recorded`. Name the brokers, or ask for \
         sale.intake = volatile-log, which forgets it with this process"
    )]
    NoLog,
}

/// The text and the origin of every setting.
#[derive(Debug, Clone)]
pub struct Values(BTreeMap<&'static str, (String, Origin)>);

impl Values {
    /// Gathers all settings: `file` if named (it must exist), else [`FILE`] where it exists; the environment; flags as `key, value`.
    ///
    /// # Errors
    /// [`ConfigError::File`], [`ConfigError::Unknown`].
    pub fn gather(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        flags: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let defaults = TABLE.iter().map(|entry| (entry.key, (entry.default.to_owned(), Origin::Default)));
        let mut values = Self(defaults.collect());
        let found = file.map(Path::to_owned).or_else(|| Path::new(FILE).exists().then(|| PathBuf::from(FILE)));
        if let Some(path) = found {
            for (key, value) in read_file(&path)? {
                values.set(&key, value, Origin::File(path.clone()))?;
            }
        }
        for (name, value) in environment {
            if let Some(rest) = name.strip_prefix(PREFIX) {
                let key = rest.to_lowercase().replace("__", ".");
                values.set(&key, value, Origin::Environment(name))?;
            }
        }
        for (flag, value) in flags {
            values.set(&flag.replace('-', "_"), value, Origin::Flag(flag))?;
        }
        Ok(values)
    }

    fn set(&mut self, key: &str, value: String, origin: Origin) -> Result<(), ConfigError> {
        let Some(entry) = TABLE.iter().find(|entry| entry.key == key) else {
            let nearest = nearest(key).to_owned();
            return Err(ConfigError::Unknown { key: key.to_owned(), origin: origin.to_string(), nearest });
        };
        self.0.insert(entry.key, (value, origin));
        Ok(())
    }

    fn text(&self, key: &str) -> (&str, &Origin) {
        self.0.get(key).map_or(("", &Origin::Default), |(text, origin)| (text, origin))
    }

    /// The settings, checked.
    ///
    /// # Errors
    /// [`ConfigError::Value`] for the first that is out of its bounds; [`ConfigError::Exposed`]; [`ConfigError::NoLog`].
    pub fn config(&self) -> Result<Config, ConfigError> {
        let config = Config::read(self)?;
        if !config.http_bind.ip().is_loopback() {
            for (name, switch) in [("dev.members", config.dev_members), ("dev.clock", config.dev_clock)] {
                if switch == Switch::On {
                    return Err(ConfigError::Exposed(name));
                }
            }
        }
        if config.sale_intake == Intake::Log && config.kafka_brokers.is_none() {
            return Err(ConfigError::NoLog);
        }
        Ok(config)
    }

    /// Effective values with their origins, secrets redacted: what `config print` shows.
    #[must_use]
    pub fn shown(&self) -> String {
        let width = TABLE.iter().map(|entry| entry.key.len()).max().unwrap_or_default();
        let mut text = String::new();
        for entry in TABLE {
            let (value, origin) = self.text(entry.key);
            let value = if value.is_empty() { "none".to_owned() } else { redacted(entry.key, value) };
            text.push_str(&format!("{:width$} = {value}  ({origin})\n", entry.key));
        }
        text
    }
}

/// A value as it may be shown: user, password and what follows a `?` are left out of a URL, also where it is written wrongly.
fn redacted(key: &str, text: &str) -> String {
    if !key.ends_with("url") {
        return text.to_owned();
    }
    // Databases take a password after the `?`, too; where an `@` follows, nobody knows what belongs to one.
    let (text, end) = match text.split_once('?') {
        Some((before, rest)) if rest.contains('@') => {
            (before.split_once("://").map_or("", |(scheme, _)| scheme), "://***")
        }
        Some((before, _)) => (before, "?***"),
        None => (text, ""),
    };
    let shown = match (text.split_once("://"), text.rsplit_once('@')) {
        (_, None) => text.to_owned(),
        (Some((scheme, _)), Some((_, place))) if !scheme.contains('@') => format!("{scheme}://***@{place}"),
        (_, Some((_, place))) => format!("***@{place}"),
    };
    shown + end
}

/// The keys and values of a file, tables joined by dots.
fn read_file(path: &Path) -> Result<Vec<(String, String)>, ConfigError> {
    let failed = |why: &FileError| ConfigError::File { path: path.display().to_string(), why: why.to_string() };
    let source = config::File::from(path).format(config::FileFormat::Toml).required(true);
    let top = source.collect().map_err(|why| failed(&why))?;
    let mut found = Vec::new();
    let mut open: Vec<(String, config::Value)> = top.into_iter().collect();
    while let Some((key, value)) = open.pop() {
        match value.kind {
            ValueKind::Table(inner) => {
                open.extend(inner.into_iter().map(|(name, value)| (format!("{key}.{name}"), value)));
            }
            _ => {
                let text = value.into_string().map_err(|why| failed(&why))?;
                found.push((key, text));
            }
        }
    }
    // The same file gives the same first complaint.
    found.sort();
    Ok(found)
}

/// The known name that looks most like `key`.
fn nearest(key: &str) -> &'static str {
    let closest = TABLE.iter().min_by_key(|entry| distance(key, entry.key));
    closest.map_or("", |entry| entry.key)
}

/// How many letters have to be put in, taken out or changed to make one text of the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (n, from) in a.chars().enumerate() {
        let mut corner = row[0];
        row[0] = n + 1;
        for (m, to) in b.iter().enumerate() {
            let changed = corner + usize::from(from != *to);
            corner = row[m + 1];
            row[m + 1] = changed.min(corner + 1).min(row[m] + 1);
        }
    }
    row[b.len()]
}

/// The page `docs/reference/config.md`.
#[must_use]
pub fn markdown() -> String {
    let mut page = String::from(
        "# Configuration of the server\n\n\
         Printed from `examples/server/src/config/table.rs`; a test compares it, `UPDATE=1 cargo test -p flashsale-server config_page` prints it anew.\n\n\
         One name in three places: the file (`flashsale.toml`, or `--config FILE`) has `[http]` with `bind`, the environment has `FLASHSALE_HTTP__BIND`, \
         the command line has `--http.bind`. A flag wins over the environment, the environment over the file, the file over the default. Unknown names are refused \
         with the nearest known one. `flashsale-server config print` shows what holds, and why.\n\n\
         | key | default | bounds | sets | why this default |\n|---|---|---|---|---|\n",
    );
    for entry in TABLE {
        let (Entry { key, bounds, what, why, .. }, default) = (entry, entry.default_shown());
        page.push_str(&format!("| `{key}` | `{default}` | {bounds} | {what} | {why} |\n"));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn config_page_is_printed_from_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/config.md");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, markdown()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), markdown(), "run with UPDATE=1 to print it anew");
    }

    #[test]
    fn every_setting_is_told_once_with_a_reason_of_one_sentence() {
        for (n, entry) in TABLE.iter().enumerate() {
            assert!(TABLE[..n].iter().all(|other| other.key != entry.key), "{} stands twice", entry.key);
            assert!(entry.why.ends_with('.') && entry.why.matches(". ").count() == 0, "{}: {}", entry.key, entry.why);
        }
    }

    #[test]
    fn a_log_needs_brokers_unless_a_volatile_one_is_asked_for_by_name() {
        let read = |flags: &[(&str, &str)]| {
            let flags = flags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
            Values::gather(None, [], flags).unwrap().config().map(|config| config.sale_intake)
        };
        assert_eq!(read(&[]), Ok(Intake::Ledger));
        assert_eq!(read(&[("sale.intake", "log")]), Err(ConfigError::NoLog));
        assert_eq!(read(&[("sale.intake", "log"), ("kafka.brokers", "b:1")]), Ok(Intake::Log));
        assert_eq!(read(&[("sale.intake", "volatile-log")]), Ok(Intake::VolatileLog));
        assert!(read(&[("sale.intake", "kafka")]).is_err());
    }

    #[test]
    fn the_nearest_name_is_the_one_that_was_meant() {
        assert_eq!(nearest("http.bnid"), "http.bind");
        assert_eq!(nearest("payment.decline"), "payment.decline_rate");
        assert_eq!(nearest("sqlurl"), "sql.url");
    }

    #[test]
    fn passwords_of_urls_are_not_shown() {
        assert_eq!(redacted("sql.url", "mysql://u:secret@host/db"), "mysql://***@host/db");
        assert_eq!(redacted("sql.url", "sqlite://a/b.db"), "sqlite://a/b.db");
        assert_eq!(redacted("sql.url", "postgres://u:p@host/db?password=secret"), "postgres://***@host/db?***");
        for url in ["postgres://u@host/db?password=se@cret", "postgres://u:se?cret@host/db", "u:se?cret@host/db"] {
            let shown = redacted("sql.url", url);
            assert!(shown.ends_with("***") && !shown.contains("se") && !shown.contains("cret"), "{shown}");
        }
        for url in ["redis://u:p@ss/word@host:1", "redis:u:secret@host:1", "u:a://secret@host:1", "secret@host:1"] {
            let shown = redacted("redis.url", url);
            assert!(shown.ends_with("***@host:1"), "{shown}");
            assert!(!shown.contains("secret") && !shown.contains("word"), "{shown}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_url_is_told_without_its_password() {
        let refused = |key: &str, value: &str| {
            let values = Values::gather(None, [], [(key.to_owned(), value.to_owned())]).unwrap();
            values.config().unwrap_err().to_string()
        };
        for url in ["redis://u:secret@host:port", "redis:secret@host", "http://u:secret@host", "redis://u:%secret@host"]
        {
            let told = refused("redis.url", url);
            assert!(told.starts_with("redis.url") && !told.contains("secret"), "{told}");
        }
        for url in [
            "postgre://u:secret@host/db",
            "u:secret@host/db",
            "mysql://u:secret@host:port/db",
            "sqlite://",
            "postgres://u:secret@host:1:2",
        ] {
            let told = refused("sql.url", url);
            assert!(told.starts_with("sql.url") && !told.contains("secret"), "{told}");
        }
        assert!(
            refused("sql.url", "oracle://host/db").contains("it begins with sqlite://PATH, postgres:// or mysql://")
        );
        assert!(refused("redis.prefix", "a{b}").contains("redis.prefix"));
        assert!(refused("redis.response-timeout-ms", "0").contains("from 1 to 60000"));
    }

    #[test]
    fn settings_that_are_logged_hold_no_password() {
        let flags = [("redis.url", "redis://u:secret@host"), ("sql.url", "mysql://u:secret@db/shop")];
        let flags = flags.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let values = Values::gather(None, [], flags).unwrap();
        let config = values.config().unwrap();
        assert_eq!(config.redis_url.as_ref().map(RedisUrl::secret), Some("redis://u:secret@host"));
        assert_eq!((config.sql_url.secret(), config.sql_url.word()), ("mysql://u:secret@db/shop", "mysql"));
        let told = format!("{config:?}{}", values.shown());
        assert!(told.contains("redis://***@host") && told.contains("mysql://***@db/shop"), "{told}");
        assert!(!told.contains("secret"), "{told}");
    }
}
