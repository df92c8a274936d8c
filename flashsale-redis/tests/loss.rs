//! The gate loses something in the middle of a sale: all of it, its tail, a key, its scripts, its server. The sale goes on.

mod servers;
mod shop;

use std::time::Duration;

use flashsale_core::SaleId;
use flashsale_services::{Append, Redis, RedisOptions};
use shop::Shop;

const HOLD: Duration = Duration::from_millis(400);

/// Kills the server ten times in the middle of a sale on two nodes, and audits what was sold.
async fn killed(append: Append) {
    const KILLS: u32 = 10;
    let server = Redis::start(RedisOptions { append, ..RedisOptions::default() });
    let config = servers::brisk(&server.url());
    let shop = Shop::open(&[config.clone(), config], 2_000, HOLD).await;
    let sale = shop.sell(32);
    for _ in 0..KILLS {
        shop.more_answers(150).await;
        let before = shop.failures();
        server.kill9();
        // The loss is met by somebody before the server is back.
        shop::until("a request to meet the loss", async || shop.failures() > before).await;
        server.restart();
    }
    shop.finish();
    sale.await.expect("the sale");
    shop.audit().await;
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_logs_always_is_killed_ten_times() {
    killed(Append::Always).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_logs_every_second_is_killed_ten_times() {
    killed(Append::EverySecond).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_logs_nothing_is_killed_ten_times() {
    killed(Append::Never).await;
}

/// Sells while `lose` is done to the server five times.
async fn sold_in_spite_of(lose: impl Fn(&Redis, &SaleId)) {
    let server = servers::forgetful();
    let config = servers::brisk(&server.url());
    let shop = Shop::open(&[config.clone(), config], 1_000, HOLD).await;
    let sale = shop.sell(32);
    for _ in 0..5 {
        shop.more_answers(120).await;
        lose(&server, &shop.sale);
    }
    shop.finish();
    sale.await.expect("the sale");
    shop.audit().await;
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_keys_are_flushed() {
    sold_in_spite_of(|server, _| {
        server.ask(&["FLUSHALL"]).expect("flush");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_scripts_are_flushed() {
    sold_in_spite_of(|server, _| {
        server.ask(&["SCRIPT", "FLUSH"]).expect("flush");
    })
    .await;
}

/// A foreign hand deletes one key: the gate notices, forgets the rest, and is loaded anew.
macro_rules! a_key_is_deleted {
    ($($test:ident: $key:literal;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() {
            sold_in_spite_of(|server, sale| {
                server.ask(&["DEL", &format!("fs:{{{sale}}}:{}", $key)]).expect("delete");
            })
            .await;
        }
    )*};
}

a_key_is_deleted! {
    the_key_of_the_meta_is_deleted: "meta";
    the_key_of_the_items_is_deleted: "item";
    the_key_of_the_orders_is_deleted: "order";
    the_key_of_the_buyers_is_deleted: "buyer";
    the_key_of_the_queue_is_deleted: "queue";
    the_key_of_the_early_answers_is_deleted: "early";
}
