//! The server with its ledger on a real PostgreSQL and a real MariaDB: wired by configuration, shared, down and back, refused where
//! it is not set up.

mod common;

use std::net::SocketAddr;
use std::process::Command;

use common::{Answer, Process, Request, binary, send};
use flashsale_services::{Flush, MariaDb, MariaDbOptions, Postgres, PostgresOptions, Redis, RedisOptions};
use serde_json::json;

/// A database of the test's own.
enum Real {
    Postgres(Postgres),
    MariaDb(MariaDb),
}

impl Real {
    fn postgres() -> Self {
        Self::Postgres(Postgres::start(&PostgresOptions::default()))
    }

    fn mariadb() -> Self {
        Self::MariaDb(MariaDb::start(&MariaDbOptions::default()))
    }

    fn url(&self) -> String {
        match self {
            Self::Postgres(server) => server.url(),
            Self::MariaDb(server) => server.url(),
        }
    }

    fn word(&self) -> &'static str {
        match self {
            Self::Postgres(_) => "postgres",
            Self::MariaDb(_) => "mysql",
        }
    }

    fn kill9(&self) {
        match self {
            Self::Postgres(server) => server.kill9(),
            Self::MariaDb(server) => server.kill9(),
        }
    }

    fn restart(&self) {
        match self {
            Self::Postgres(server) => server.restart(),
            Self::MariaDb(server) => server.restart(),
        }
    }

    fn count(&self, text: &str) -> i64 {
        let said = match self {
            Self::Postgres(server) => server.sql(text),
            Self::MariaDb(server) => server.sql(text),
        };
        said.unwrap().trim().parse().unwrap()
    }
}

/// Nothing is declined and nothing takes time.
const PLAIN: [&str; 4] = ["--payment.decline-rate", "0", "--payment.latency-ms", "0"];

async fn server(url: &str, more: &[&str]) -> Process {
    let directory = tempfile::tempdir().unwrap();
    Process::start(directory.path(), &[&PLAIN[..], &["--sql.url", url], more].concat()).await
}

/// A sale of one item, `unit`, at 10,000.
async fn sale(at: SocketAddr, id: &str, total: u64) {
    let items = json!([{ "id": "unit", "total": total, "price": 10_000, "per_buyer": 1 }]);
    let answer = send(at, Request::post("/v1/sales", &json!({ "id": id, "items": items }).to_string()).by("op")).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
}

async fn order(at: SocketAddr, sale: &str, member: &str) -> Answer {
    let body = json!({ "sale": sale, "lines": [{ "item": "unit", "quantity": 1 }] }).to_string();
    send(at, Request::post("/v1/orders", &body).by(member).keyed("order-0001")).await
}

/// Orders under one key until something is promised or refused, as a client does.
async fn insist(at: SocketAddr, sale: &str, member: &str) -> Answer {
    loop {
        let answer = order(at, sale, member).await;
        if answer.status != 503 {
            return answer;
        }
    }
}

async fn settled(at: SocketAddr) {
    loop {
        let said = send(at, Request::get("/dev/v1/settled")).await;
        assert_eq!(said.status, 200, "{}", said.text());
        let said = said.json();
        if ["open_orders", "unsent_events", "holds"].iter().all(|what| said[what] == 0) {
            return;
        }
    }
}

async fn serves_by_configuration_alone(real: Real) {
    let server = server(&real.url(), &[]).await;
    let at = server.at;
    assert_eq!(send(at, Request::get("/version")).await.json()["ledger"], real.word());
    sale(at, "s", 2).await;
    let won = order(at, "s", "a").await;
    assert_eq!(won.status, 202, "{}", won.text());
    let again = order(at, "s", "a").await;
    assert_eq!((again.status, again.text()), (202, won.text()));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(order(at, "s", "b").await.status, 202);
    assert_eq!(order(at, "s", "c").await.problem().0, 409);
    let charge = json!({ "amount": 50_000 }).to_string();
    let charged = send(at, Request::post("/v1/wallet/charges", &charge).by("a").keyed("charge-0001")).await;
    assert_eq!(charged.status, 201, "{}", charged.text());
    settled(at).await;
    assert_eq!(real.count("SELECT COUNT(*) FROM orders WHERE state = 'confirmed'"), 2);
    assert_eq!(real.count("SELECT balance FROM wallet WHERE member = 'a'"), 50_000);
    for page in ["/", "/v1/orders/a~order-0001", "/v1/campaigns/plant-3000", "/readyz"] {
        let answer = send(at, Request::get(page).by("a")).await;
        assert_eq!(answer.status, 200, "{page}: {}", answer.text());
    }
}

async fn servers_that_start_together_on_an_empty_database_are_one_shop(real: Real) {
    const UNITS: u64 = 40;
    let redis = Redis::start(RedisOptions::default());
    let (url, gate) = (real.url(), redis.url());
    let more = ["--redis.url", gate.as_str(), "--redis.response-timeout-ms", "5000"];
    let (one, two, three) = tokio::join!(server(&url, &more), server(&url, &more), server(&url, &more));
    assert_eq!(real.count("SELECT COUNT(*) FROM sale"), 2, "seeded once");
    assert_eq!(real.count("SELECT COUNT(*) FROM campaign"), 1);
    sale(one.at, "s", UNITS).await;
    let mut buyers = tokio::task::JoinSet::new();
    for n in 0..UNITS as usize + 20 {
        let at = [one.at, two.at, three.at];
        buyers.spawn(async move {
            let member = format!("m{n}");
            let first = insist(at[n % 3], "s", &member).await;
            let again = insist(at[(n + 1) % 3], "s", &member).await;
            if first.status == 202 {
                assert_eq!((again.status, again.text()), (202, first.text()), "the same answer at the other server");
            }
            again.status
        });
    }
    let answers = buyers.join_all().await;
    assert!(answers.iter().all(|status| [202, 409].contains(status)), "{answers:?}");
    assert_eq!(answers.iter().filter(|status| **status == 202).count() as u64, UNITS);
    settled(two.at).await;
    assert_eq!(real.count("SELECT allocated FROM item WHERE sale = 's'"), UNITS.cast_signed());
    assert_eq!(real.count("SELECT COUNT(*) FROM orders WHERE state = 'confirmed'"), UNITS.cast_signed());
    let twice = "SELECT COUNT(*) FROM (SELECT 1 FROM outbox GROUP BY subject, version, kind HAVING COUNT(*) > 1) t";
    assert_eq!(real.count(twice), 0);
}

async fn while_the_database_is_down_nothing_is_promised_and_what_was_told_stands(real: Real) {
    let server = server(&real.url(), &[]).await;
    let at = server.at;
    sale(at, "s", 3).await;
    let won = order(at, "s", "a").await;
    assert_eq!(won.status, 202, "{}", won.text());
    real.kill9();
    assert_eq!(order(at, "s", "b").await.problem().0, 503);
    let ready = send(at, Request::get("/readyz")).await;
    assert_eq!(ready.problem().0, 503);
    assert!(ready.text().contains("the ledger does not answer"), "{}", ready.text());
    real.restart();
    let again = insist(at, "s", "a").await;
    assert_eq!((again.status, again.text()), (202, won.text()), "what was told stands");
    // The second may have been held while nobody could say; the same key finds out.
    for member in ["b", "c"] {
        assert_eq!(insist(at, "s", member).await.status, 202, "{member}");
    }
    assert_eq!(insist(at, "s", "d").await.status, 409);
    settled(at).await;
    assert_eq!(real.count("SELECT COUNT(*) FROM orders WHERE state = 'confirmed'"), 3);
    while send(at, Request::get("/readyz")).await.status != 200 {}
}

macro_rules! rules {
    ($name:ident, [$($rule:ident),*]) => {
        mod $name {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $rule() {
                    super::$rule(super::Real::$name()).await;
                }
            )*
        }
    };
}

rules!(
    postgres,
    [
        serves_by_configuration_alone,
        servers_that_start_together_on_an_empty_database_are_one_shop,
        while_the_database_is_down_nothing_is_promised_and_what_was_told_stands
    ]
);
rules!(
    mariadb,
    [
        serves_by_configuration_alone,
        servers_that_start_together_on_an_empty_database_are_one_shop,
        while_the_database_is_down_nothing_is_promised_and_what_was_told_stands
    ]
);

/// Starts a server that must refuse, with this URL in the environment; what it said.
fn refused(url: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(binary());
    command.args(["serve", "--http.bind", "127.0.0.1:0"]).current_dir(directory.path());
    let output = command.env("FLASHSALE_SQL__URL", url).output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("the ledger cannot be used") && said.contains("Next: "), "{said}");
    assert!(!said.contains("hidden-word"), "{said}");
    said
}

#[test]
fn a_database_that_is_not_set_up_is_refused_with_what_to_do_next() {
    let nobody = refused("postgres://shop:hidden-word@127.0.0.1:1/shop");
    assert!(nobody.contains("start the database"), "{nobody}");

    let careless = Postgres::start(&PostgresOptions { flush: Flush::Off, ..PostgresOptions::default() });
    let said = refused(&careless.url());
    assert!(said.contains("fsync is off, it must be on"), "{said}");
    let nowhere = refused(&format!("{}-nowhere", careless.url()));
    assert!(nowhere.contains("create the database"), "{nowhere}");

    let mariadb = MariaDb::start(&MariaDbOptions::default());
    mariadb.sql("CREATE USER locked@'%' IDENTIFIED BY 'right'").unwrap();
    let at = format!("127.0.0.1:{}", mariadb.port());
    let wrong = refused(&format!("mysql://locked:hidden-word@{at}/flashsale"));
    assert!(wrong.contains("FLASHSALE_SQL__URL"), "{wrong}");
    let poor = refused(&format!("mysql://locked:right@{at}/flashsale"));
    assert!(poor.contains("give the user the right to make tables"), "{poor}");
    let nowhere = refused(&format!("{}-nowhere", mariadb.url()));
    assert!(nowhere.contains("create the database"), "{nowhere}");
}

#[tokio::test]
async fn where_the_ledger_is_is_told_without_the_password() {
    let postgres = Postgres::start(&PostgresOptions::default());
    let url = postgres.url().replace("flashsale@", "flashsale:hidden-word@");
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(binary());
    let output = command.args(["config", "print", "--sql.url", &url]).current_dir(directory.path()).output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(shown.contains("postgres://***@127.0.0.1"), "{shown}");
    assert!(!shown.contains("hidden-word"), "{shown}");
    let server = server(&url, &[]).await;
    for page in ["/", "/version", "/metrics", "/readyz", "/docs"] {
        assert!(!send(server.at, Request::get(page)).await.text().contains("hidden-word"), "{page}");
    }
}
