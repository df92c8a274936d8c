//! A single Redis starts, dies, comes back and keeps what it promised to keep.

use std::net::TcpListener;
use std::process::Command;

use flashsale_services::{Append, Redis, RedisOptions, StartError, Tls};

fn options(append: Append) -> RedisOptions {
    RedisOptions { append, ..RedisOptions::default() }
}

fn said(redis: &Redis, words: &[&str]) -> String {
    redis.ask(words).unwrap().text()
}

#[test]
fn what_append_always_acknowledged_survives_kill9() {
    let redis = Redis::start(options(Append::Always));
    let (port, first) = (redis.port(), said(&redis, &["INFO", "server"]));
    assert_eq!(said(&redis, &["SET", "word", "kept"]), "OK");
    redis.kill9();
    assert!(!redis.is_running());
    assert!(redis.ask(&["PING"]).is_err());
    redis.restart();
    assert_eq!(said(&redis, &["GET", "word"]), "kept");
    assert_eq!(redis.port(), port);
    assert_ne!(said(&redis, &["INFO", "server"]), first, "it is the old process");
}

#[test]
fn what_append_never_wrote_is_gone_after_kill9() {
    let redis = Redis::start(options(Append::Never));
    assert_eq!(said(&redis, &["SET", "word", "lost"]), "OK");
    redis.kill9();
    redis.restart();
    assert_eq!(said(&redis, &["EXISTS", "word"]), "0");
}

#[test]
fn an_orderly_stop_keeps_what_every_second_wrote() {
    let redis = Redis::start(options(Append::EverySecond));
    assert_eq!(said(&redis, &["SET", "word", "kept"]), "OK");
    redis.stop();
    assert!(!redis.is_running());
    redis.restart();
    assert_eq!(said(&redis, &["GET", "word"]), "kept");
}

#[test]
fn a_program_that_is_missing_is_named_with_the_command() {
    let named = |program: &str| RedisOptions { program: program.into(), ..RedisOptions::default() };
    let error = Redis::try_start(named("redis-server-of-nobody")).unwrap_err();
    let says = "redis-server-of-nobody is missing: run cargo xtask services install \
                (Debian: apt-get install -y redis-server)";
    assert_eq!(error.to_string(), says);
    assert!(matches!(error, StartError::Missing { .. }));
    let path = Redis::try_start(named("/nowhere/redis-server")).unwrap_err();
    assert!(matches!(path, StartError::Missing { .. }), "{path}");
}

#[test]
fn a_setting_that_redis_refuses_is_told_in_its_words() {
    let extra = vec![("no-such-setting".to_owned(), "1".to_owned())];
    let error = Redis::try_start(RedisOptions { extra, ..RedisOptions::default() }).unwrap_err();
    assert!(error.to_string().contains("no-such-setting"), "{error}");
}

#[test]
fn a_paused_redis_is_silent_and_goes_on_later() {
    let redis = Redis::start(options(Append::Never));
    redis.pause();
    let status = std::fs::read_to_string(format!("/proc/{}/stat", redis.process_id().unwrap())).unwrap();
    let state = status.rsplit_once(") ").unwrap().1.chars().next().unwrap();
    assert_eq!(state, 'T', "{status}");
    redis.resume();
    assert_eq!(said(&redis, &["PING"]), "PONG");
}

#[test]
fn a_dropped_redis_leaves_neither_process_nor_folder() {
    let redis = Redis::start(options(Append::Always));
    let (folder, id, port) = (redis.dir().to_path_buf(), redis.process_id().unwrap(), redis.port());
    redis.pause();
    drop(redis);
    assert!(!folder.exists());
    assert!(!std::path::Path::new(&format!("/proc/{id}")).exists());
    TcpListener::bind(("127.0.0.1", port)).unwrap();
}

#[test]
fn users_have_the_rights_that_they_were_given() {
    let redis = Redis::start(RedisOptions {
        password: Some("open".into()),
        users: vec!["gate on >shut ~flash:* +get".into()],
        max_memory_policy: "allkeys-lru".into(),
        ..RedisOptions::default()
    });
    let cli = |url: &str, words: &[&str]| {
        let output = Command::new("redis-cli").args(["-u", url, "--no-auth-warning"]).args(words).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(cli(&redis.url(), &["SET", "flash:a", "1"]), "OK\n");
    assert_eq!(cli(&redis.url_as("gate", "shut"), &["GET", "flash:a"]), "1\n");
    assert!(cli(&redis.url_as("gate", "shut"), &["SET", "flash:a", "2"]).contains("NOPERM"));
    assert!(cli(&redis.url_as("gate", "shut"), &["GET", "other"]).contains("NOPERM"));
    let open = format!("redis://127.0.0.1:{}", redis.port());
    assert!(cli(&open, &["GET", "flash:a"]).contains("NOAUTH"));
    let policy = redis.ask(&["CONFIG", "GET", "maxmemory-policy"]).unwrap();
    assert_eq!(policy.field("maxmemory-policy").as_deref(), Some("allkeys-lru"));
}

#[test]
fn tls_is_trusted_through_its_authority_and_not_without() {
    let redis = Redis::start(RedisOptions { tls: Tls::On, ..RedisOptions::default() });
    assert_eq!(redis.url(), format!("rediss://127.0.0.1:{}", redis.port()));
    let authority = redis.ca_file().unwrap().to_str().unwrap();
    let port = redis.port().to_string();
    let cli = |args: &[&str]| {
        let output = Command::new("redis-cli").args(["-h", "127.0.0.1", "-p", &port]).args(args).arg("PING").output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    assert_eq!(cli(&["--tls", "--cacert", authority]), "PONG\n");
    assert_ne!(cli(&["--tls"]), "PONG\n");
    assert_ne!(cli(&[]), "PONG\n");
}
