//! Where the servers are, how keys begin, and how long is waited.

use std::fmt;
use std::time::Duration;

/// How the servers behind a URL belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topology {
    /// `redis://` and `rediss://`: one server.
    Single,
    /// `redis+sentinel://` and `rediss+sentinel://`: sentinels that know the primary of a name.
    Sentinel,
    /// `redis+cluster://` and `rediss+cluster://`: some nodes of a cluster.
    Cluster,
}

/// Why a URL or a setting is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedisConfigError {
    /// The URL has another scheme.
    #[error(
        "a Redis URL begins with redis://, redis+sentinel:// or redis+cluster:// (rediss for TLS), this one with {0}"
    )]
    Scheme(String),
    /// No host, or a port that is no number.
    #[error("`{0}` is no host and port")]
    Address(String),
    /// A Sentinel URL without the name of the primary.
    #[error("a Sentinel URL ends with the name of the primary: redis+sentinel://HOST:PORT,HOST:PORT/NAME")]
    PrimaryName,
    /// The database is no number, or stands where none may stand.
    #[error("`{0}` is no number of a database")]
    Database(String),
    /// A password or user with an escape that is none.
    #[error("the user or password has a % that is no escape; write %25 for a percent sign")]
    Escape,
    /// The URL asks for what this build leaves out.
    #[error("this build has no {0}: turn the feature of flashsale-redis on")]
    Feature(&'static str),
    /// The prefix of keys.
    #[error("a key prefix has 1 to 32 characters of A-Z a-z 0-9 _ . : -")]
    Prefix,
    /// A time is zero or above a minute.
    #[error("{0} is from 1 ms to one minute")]
    Wait(&'static str),
}

/// How to reach Redis.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisConfig {
    pub(crate) topology: Topology,
    pub(crate) nodes: Vec<(String, u16)>,
    pub(crate) tls: bool,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) database: i64,
    pub(crate) primary: String,
    pub(crate) prefix: String,
    pub(crate) response_timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) ca: Option<Vec<u8>>,
}

/// Shows no password.
impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConfig")
            .field("topology", &self.topology)
            .field("nodes", &self.nodes)
            .field("tls", &self.tls)
            .field("user", &self.user)
            .field("password", &self.password.as_ref().map(|_| ".."))
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

impl RedisConfig {
    /// Reads a URL: `redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE]`, `redis+sentinel://[..@]HOST:PORT,HOST:PORT/NAME[/DATABASE]` or
    /// `redis+cluster://[..@]HOST:PORT,HOST:PORT`; with `rediss` for TLS. User and password are percent-encoded.
    ///
    /// Keys begin with `fs`, a call may take 500 ms, a connection 1 s.
    ///
    /// # Errors
    /// [`RedisConfigError`] for the first part that is wrong.
    ///
    /// ```
    /// use flashsale_redis::{RedisConfig, Topology};
    /// let config = RedisConfig::new("redis://127.0.0.1:6379/3").unwrap();
    /// assert_eq!(config.topology(), Topology::Single);
    /// assert!(RedisConfig::new("http://127.0.0.1").is_err());
    /// ```
    pub fn new(url: &str) -> Result<Self, RedisConfigError> {
        // What is no URL at all is not repeated: it may be a password in the wrong place.
        let (scheme, rest) = url.split_once("://").unwrap_or(("none", ""));
        let (tls, topology) = match scheme {
            "redis" => (false, Topology::Single),
            "rediss" => (true, Topology::Single),
            "redis+sentinel" => (false, Topology::Sentinel),
            "rediss+sentinel" => (true, Topology::Sentinel),
            "redis+cluster" => (false, Topology::Cluster),
            "rediss+cluster" => (true, Topology::Cluster),
            other => return Err(RedisConfigError::Scheme(other.chars().take(32).collect())),
        };
        for (asked, there, name) in [
            (tls, cfg!(feature = "tls-rustls"), "TLS (`tls-rustls`)"),
            (topology == Topology::Sentinel, cfg!(feature = "sentinel"), "Sentinel (`sentinel`)"),
            (topology == Topology::Cluster, cfg!(feature = "cluster"), "Cluster (`cluster`)"),
        ] {
            if asked && !there {
                return Err(RedisConfigError::Feature(name));
            }
        }
        let (login, place) = rest.rsplit_once('@').map_or((None, rest), |(login, place)| (Some(login), place));
        let (user, password) = match login.map(|login| login.split_once(':').unwrap_or((login, ""))) {
            None => (None, None),
            Some((user, password)) => (filled(unescape(user)?), filled(unescape(password)?)),
        };
        let mut path = place.split('/');
        let hosts = path.next().unwrap_or_default();
        let nodes = hosts.split(',').map(address).collect::<Result<Vec<_>, _>>()?;
        if topology == Topology::Single && nodes.len() > 1 {
            return Err(RedisConfigError::Address(hosts.to_owned()));
        }
        let primary = match topology {
            Topology::Sentinel => path.next().filter(|name| !name.is_empty()).ok_or(RedisConfigError::PrimaryName)?,
            Topology::Single | Topology::Cluster => "",
        };
        let database = path.next().filter(|part| !part.is_empty()).unwrap_or("0");
        let number = database.parse::<u16>().map_err(|_| RedisConfigError::Database(database.to_owned()))?;
        if path.next().is_some() || (topology == Topology::Cluster && number != 0) {
            return Err(RedisConfigError::Database(place.to_owned()));
        }
        Ok(Self {
            topology,
            nodes,
            tls,
            user,
            password,
            database: i64::from(number),
            primary: primary.to_owned(),
            prefix: "fs".to_owned(),
            response_timeout: Duration::from_millis(500),
            connect_timeout: Duration::from_secs(1),
            ca: None,
        })
    }

    /// How the servers belong together.
    #[must_use]
    pub fn topology(&self) -> Topology {
        self.topology
    }

    /// Sets how keys begin, so that several shops can share a server. It holds no braces: these belong to the hash tag.
    ///
    /// # Errors
    /// [`RedisConfigError::Prefix`].
    pub fn prefix(self, prefix: &str) -> Result<Self, RedisConfigError> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b':' | b'-');
        if !(1..=32).contains(&prefix.len()) || !prefix.bytes().all(fits) {
            return Err(RedisConfigError::Prefix);
        }
        Ok(Self { prefix: prefix.to_owned(), ..self })
    }

    /// Sets how long one call may take before its outcome is unknown, 1 ms to one minute.
    ///
    /// # Errors
    /// [`RedisConfigError::Wait`].
    pub fn response_timeout(self, most: Duration) -> Result<Self, RedisConfigError> {
        Ok(Self { response_timeout: wait("response_timeout", most)?, ..self })
    }

    /// Sets how long a new connection may take, 1 ms to one minute.
    ///
    /// # Errors
    /// [`RedisConfigError::Wait`].
    pub fn connect_timeout(self, most: Duration) -> Result<Self, RedisConfigError> {
        Ok(Self { connect_timeout: wait("connect_timeout", most)?, ..self })
    }

    /// Sets the certificates, in PEM, that a TLS server's own must lead to. Default: those of the machine.
    #[must_use]
    pub fn trusting(self, ca: Vec<u8>) -> Self {
        Self { ca: Some(ca), ..self }
    }
}

fn wait(name: &'static str, most: Duration) -> Result<Duration, RedisConfigError> {
    let bounds = Duration::from_millis(1)..=Duration::from_secs(60);
    if bounds.contains(&most) { Ok(most) } else { Err(RedisConfigError::Wait(name)) }
}

fn filled(text: String) -> Option<String> {
    if text.is_empty() { None } else { Some(text) }
}

fn address(text: &str) -> Result<(String, u16), RedisConfigError> {
    let wrong = || RedisConfigError::Address(text.to_owned());
    // An address of version 6 stands in brackets.
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or_else(wrong)?;
            (host, port.strip_prefix(':').or(port.is_empty().then_some("6379")).ok_or_else(wrong)?)
        }
        None => text.split_once(':').unwrap_or((text, "6379")),
    };
    let port = port.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(wrong)?;
    if host.is_empty() { Err(wrong()) } else { Ok((host.to_owned(), port)) }
}

fn unescape(text: &str) -> Result<String, RedisConfigError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let code = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok()).filter(|hex| !hex.starts_with('+'));
        let byte = code.and_then(|hex| u8::from_str_radix(hex, 16).ok()).ok_or(RedisConfigError::Escape)?;
        bytes.push(byte);
        rest = &tail[2..];
    }
    String::from_utf8(bytes).map_err(|_| RedisConfigError::Escape)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_where_who_and_which() {
        let config = RedisConfig::new("redis://ann:a%40b@db:7000/2").unwrap();
        assert_eq!(config.nodes, [("db".to_owned(), 7000)]);
        assert_eq!((config.user.as_deref(), config.password.as_deref()), (Some("ann"), Some("a@b")));
        assert_eq!(config.database, 2);
        let config = RedisConfig::new("redis://:secret@[::1]").unwrap();
        assert_eq!(config.nodes, [("::1".to_owned(), 6379)]);
        assert_eq!((config.user, config.password.as_deref()), (None, Some("secret")));
    }

    #[cfg(all(feature = "sentinel", feature = "cluster"))]
    #[test]
    fn sentinels_have_a_primary_and_a_cluster_has_nodes() {
        let config = RedisConfig::new("redis+sentinel://a:1,b:2/shop/4").unwrap();
        assert_eq!((config.nodes.len(), config.primary.as_str(), config.database), (2, "shop", 4));
        assert_eq!(RedisConfig::new("redis+sentinel://a:1"), Err(RedisConfigError::PrimaryName));
        assert_eq!(RedisConfig::new("redis+cluster://a:1,b:2").unwrap().nodes.len(), 2);
        assert!(RedisConfig::new("redis+cluster://a:1/1").is_err());
    }

    #[test]
    fn what_is_no_url_is_refused_and_named() {
        for url in [
            "",
            "redis",
            "http://a",
            "redis://",
            "redis://a:b",
            "redis://a:0",
            "redis://a,b",
            "redis://a/x",
            "redis://a/1/2",
            "redis://%zz@a",
        ] {
            assert!(RedisConfig::new(url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        let config = RedisConfig::new("redis://ann:hidden@db").unwrap();
        assert!(!format!("{config:?}").contains("hidden"));
        assert!(!RedisConfig::new("hidden").unwrap_err().to_string().contains("hidden"));
    }

    #[test]
    fn a_prefix_cannot_break_the_hash_tag() {
        let config = RedisConfig::new("redis://db").unwrap();
        for prefix in ["", "a{b", "a}b", "a b", "a~b", &"x".repeat(33)] {
            assert_eq!(config.clone().prefix(prefix), Err(RedisConfigError::Prefix), "{prefix}");
        }
        assert!(config.prefix("shop:1").is_ok());
    }
}
