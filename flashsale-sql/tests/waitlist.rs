//! The waitlist on each database: what it costs does not grow with those who wait, and the questions of the guide say 0 all along.

#![cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]

mod audit;
mod servers;
mod shared;

use std::time::Duration;

use flashsale_core::stock::{Accept, Acceptance, Cancel, Reason, StockLedger, Then};
use flashsale_core::waitlist::{Join, Joined, Leave, Parting, WaitlistLedger, Wish};
use flashsale_core::{BuyerId, ItemId};
use flashsale_sql::{Backend, SqlLedger};
use flashsale_testkit::sample::units;
use servers::Database;
use shared::{buys, sale, sale_id};

fn sneaker() -> ItemId {
    "sneaker".parse().unwrap()
}

async fn joined<D: Backend>(ledger: &SqlLedger<D>, from: usize, count: usize) -> (Vec<Wish>, u64) {
    let join = |n| Join { item: sneaker(), member: BuyerId::new(&format!("m{n}")).unwrap(), units: units(1) };
    let batch: Vec<Join> = (from..from + count).map(join).collect();
    let before = ledger.statements_sent();
    let (answers, _) = ledger.join(&sale_id(), &batch).await.unwrap();
    let wish = |joined| if let Joined::Done(wish) = joined { wish } else { panic!("{joined:?}") };
    (answers.into_iter().map(wish).collect(), ledger.statements_sent() - before)
}

async fn left<D: Backend>(ledger: &SqlLedger<D>, wishes: &[Wish]) -> u64 {
    let leave = |wish: &Wish| Leave { offer: wish.offer.clone(), why: Parting::Member };
    let before = ledger.statements_sent();
    ledger.leave(&sale_id(), &wishes.iter().map(leave).collect::<Vec<_>>()).await.unwrap();
    ledger.statements_sent() - before
}

async fn offered<D: Backend>(ledger: &SqlLedger<D>, wishes: &[Wish]) -> u64 {
    let then = || Then::Offer { tell_within: Duration::from_secs(60) };
    let offer = |wish: &Wish| Accept { then: then(), ..buys(wish.offer.as_str(), &[("sneaker", 1)]) };
    let before = ledger.statements_sent();
    let accepted = ledger.accept(&sale_id(), &wishes.iter().map(offer).collect::<Vec<_>>()).await.unwrap();
    assert!(accepted.answers.iter().all(|answer| matches!(answer, Acceptance::Decided(_))));
    ledger.statements_sent() - before
}

async fn the_number_of_statements_does_not_depend_on_how_many_wait<S: Database>() {
    let (server, url) = (S::shared(), S::shared().place());
    let ledger = S::open(url.clone()).await;
    ledger.open(&sale(300)).await.unwrap().unwrap();
    let sold: Vec<Accept> = (0..300).map(|n| buys(&format!("b{n}~k"), &[("sneaker", 1)])).collect();
    ledger.accept(&sale_id(), &sold).await.unwrap();
    let (first, _) = joined(&ledger, 0, 1).await;
    let (few, single) = joined(&ledger, 1, 1).await;
    let (many, batch) = joined(&ledger, 2, 400).await;
    let (rest, last) = joined(&ledger, 402, 1).await;
    assert_eq!((batch, last), (single, single));
    audit::audit(server, &url);
    let undo = |accept: &Accept| Cancel { id: accept.id.clone(), reason: Reason::Operator };
    ledger.cancel(&sale_id(), &sold.iter().map(undo).collect::<Vec<_>>()).await.unwrap();
    let one = offered(&ledger, &first).await;
    assert_eq!(offered(&ledger, &many[..200]).await, one);
    assert_eq!(left(&ledger, &few).await, left(&ledger, &many[200..]).await);
    audit::audit(server, &url);
    left(&ledger, &rest).await;
    audit::audit(server, &url);
    ledger.close().await;
}

servers::rules!(
    [the_number_of_statements_does_not_depend_on_how_many_wait] on
    sqlite: crate::servers::Sqlite, "sqlite";
    postgres: flashsale_services::Postgres, "postgres";
    mariadb: flashsale_services::MariaDb, "mysql";
);
