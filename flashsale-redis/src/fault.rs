//! What an error of Redis or of the connection means to a caller: nothing happened, unknown, or a person has to act.
//!
//! A script either ran to its end or changed nothing: each tests everything before its first write, and the server refuses a script
//! that may not write before it runs. So an error *reply* means that nothing happened; a missing or broken one means that it may have.

use flashsale_core::BackendError;
use flashsale_core::error::ErrorKind;
use redis::{RedisError, ServerErrorKind};

/// Whether a connection can be used on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wired {
    /// It answers.
    Sound,
    /// It is broken, out of step, or leads to a server that should not be asked: dial anew.
    Broken,
}

/// Whether other attempts of the driver may hide behind an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attempts {
    /// The error is the answer to the only attempt.
    One,
    #[cfg_attr(not(feature = "cluster"), expect(dead_code, reason = "only a cluster's driver repeats"))]
    /// The driver of a cluster repeats by itself: an earlier attempt may have been carried out, though its answer was lost.
    Many,
}

/// The kind of a failed call, and what becomes of its connection.
pub(crate) fn of_call(operation: &'static str, error: &RedisError, attempts: Attempts) -> (BackendError, Wired) {
    let (kind, wired) = sort(error);
    let kind = match (kind, attempts) {
        (ErrorKind::Unavailable, Attempts::Many) => ErrorKind::Unknown,
        _ => kind,
    };
    (BackendError::new(kind, operation, error.clone()), wired)
}

/// The kind of a failed dial: nothing was sent that changes anything.
pub(crate) fn of_dial(operation: &'static str, error: &RedisError) -> BackendError {
    let kind = match sort(error).0 {
        ErrorKind::Unknown => ErrorKind::Unavailable,
        kind => kind,
    };
    BackendError::new(kind, operation, error.clone())
}

fn sort(error: &RedisError) -> (ErrorKind, Wired) {
    if let Some(code) = error.code() {
        return reply(code, &error.to_string());
    }
    match error.kind() {
        redis::ErrorKind::AuthenticationFailed
        | redis::ErrorKind::InvalidClientConfig
        | redis::ErrorKind::EmptySentinelList
        | redis::ErrorKind::RESP3NotSupported => (ErrorKind::Misconfigured, Wired::Broken),
        redis::ErrorKind::MasterNameNotFoundBySentinel => (ErrorKind::Unavailable, Wired::Broken),
        redis::ErrorKind::Server(ServerErrorKind::NoPerm) => (ErrorKind::Misconfigured, Wired::Sound),
        // Lost, cut, garbage, or no node found after attempts that may have arrived.
        _ => (ErrorKind::Unknown, Wired::Broken),
    }
}

/// By the first word of an error reply.
fn reply(code: &str, text: &str) -> (ErrorKind, Wired) {
    match code {
        // The server is busy, starting, full, cannot write its disk, or has too few replicas: later.
        "LOADING" | "BUSY" | "OOM" | "MISCONF" | "NOREPLICAS" => (ErrorKind::Unavailable, Wired::Sound),
        // Another node serves this now.
        "READONLY" | "MASTERDOWN" | "CLUSTERDOWN" | "MOVED" | "ASK" | "TRYAGAIN" | "UNBLOCKED" => {
            (ErrorKind::Unavailable, Wired::Broken)
        }
        "NOAUTH" | "WRONGPASS" | "DENIED" => (ErrorKind::Misconfigured, Wired::Broken),
        "NOPERM" | "EVICTION" | "CROSSSLOT" | "NOPROTO" => (ErrorKind::Misconfigured, Wired::Sound),
        // Another hand wrote something else under our keys.
        "WRONGTYPE" => (ErrorKind::Corrupt, Wired::Sound),
        "NOSCRIPT" => (ErrorKind::Unavailable, Wired::Sound),
        _ if text.contains("unknown command") => (ErrorKind::Misconfigured, Wired::Sound),
        // A right that a script lacks, as Redis 6.2 and 7.0 say it; later ones say NOPERM.
        _ if text.contains("user executing the script can't") => (ErrorKind::Misconfigured, Wired::Sound),
        _ if text.contains("max number of clients") => (ErrorKind::Unavailable, Wired::Broken),
        // A script can only be killed before its first write.
        _ if text.contains("Script killed") => (ErrorKind::Unavailable, Wired::Sound),
        _ if text.contains("rotocol error") => (ErrorKind::Unknown, Wired::Broken),
        _ => (ErrorKind::Corrupt, Wired::Sound),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flashsale_core::error::Advice;

    fn told(reply: &str) -> (ErrorKind, Wired) {
        let (code, detail) = reply.split_once(' ').unwrap();
        let error = redis::make_extension_error(code.to_owned(), Some(detail.to_owned()));
        let (error, wired) = of_call("gate.reserve", &error, Attempts::One);
        (error.kind(), wired)
    }

    #[test]
    fn an_error_reply_means_that_nothing_happened() {
        for reply in [
            "LOADING Redis is loading the dataset in memory",
            "BUSY Redis is busy running a script",
            "OOM command not allowed when used memory > 'maxmemory'",
            "MISCONF Redis is configured to save RDB snapshots",
            "NOREPLICAS Not enough good replicas to write",
        ] {
            assert_eq!(told(reply), (ErrorKind::Unavailable, Wired::Sound), "{reply}");
        }
    }

    #[test]
    fn a_server_that_no_longer_serves_is_left() {
        for reply in [
            "READONLY You can't write against a read only replica",
            "CLUSTERDOWN Hash slot not served",
            "MOVED 3999 127.0.0.1:6381",
            "ASK 3999 127.0.0.1:6381",
            "MASTERDOWN Link with MASTER is down",
            "TRYAGAIN Multiple keys request during rehashing of slot",
        ] {
            assert_eq!(told(reply), (ErrorKind::Unavailable, Wired::Broken), "{reply}");
        }
    }

    #[test]
    fn what_a_person_must_mend_is_misconfigured() {
        for reply in [
            "NOAUTH Authentication required.",
            "WRONGPASS invalid username-password pair",
            "NOPERM this user has no permissions",
            "EVICTION maxmemory-policy is allkeys-lru, it must be noeviction",
            "ERR unknown command 'EVALSHA'",
            "ERR The user executing the script can't run this command or subcommand script: 0, on @user_script:1.",
        ] {
            assert_eq!(told(reply).0, ErrorKind::Misconfigured, "{reply}");
        }
        assert_eq!(told("WRONGTYPE Operation against a key").0, ErrorKind::Corrupt);
    }

    #[test]
    fn a_lost_answer_is_unknown_and_never_a_refusal() {
        let cut = RedisError::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        let garbage = RedisError::from((redis::ErrorKind::Parse, "not RESP"));
        for error in [cut, garbage] {
            let (error, wired) = of_call("gate.reserve", &error, Attempts::One);
            assert_eq!(
                (error.kind(), error.advice(), wired),
                (ErrorKind::Unknown, Advice::RepeatSameIds, Wired::Broken)
            );
            assert_eq!(
                of_dial("gate.reserve", &RedisError::from((redis::ErrorKind::Io, "refused"))).kind(),
                ErrorKind::Unavailable
            );
        }
    }

    #[test]
    fn behind_the_last_error_of_a_cluster_another_attempt_may_have_arrived() {
        let down = redis::make_extension_error("CLUSTERDOWN".to_owned(), None);
        assert_eq!(of_call("gate.reserve", &down, Attempts::Many).0.kind(), ErrorKind::Unknown);
    }
}
