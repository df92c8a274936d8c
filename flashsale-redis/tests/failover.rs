//! The server that holds a sale is replaced in the middle of it: by Sentinel, in a cluster, by a split brain. The sale goes on.

mod servers;
mod shop;

use std::time::Duration;

use flashsale_services::{RedisCluster, RedisSentinel};
use shop::Shop;

const HOLD: Duration = Duration::from_millis(400);

/// Sells on two nodes while the sale's primary is killed, another takes its place, and the old one comes back as a replica.
async fn sold_over_a_failover(url: &str, kill: impl AsyncFn(&Shop) -> (usize, usize), restart: impl Fn(usize)) {
    let config = servers::brisk(url);
    let shop = Shop::open(&[config.clone(), config], 3_000, HOLD).await;
    let sale = shop.sell(32);
    shop.more_answers(300).await;
    let (old, new) = kill(&shop).await;
    assert_ne!(old, new);
    // What is answered from here on is answered by the new primary.
    shop.more_answers(300).await;
    restart(old);
    shop.more_answers(300).await;
    shop.finish();
    sale.await.expect("the sale");
    assert!(shop.failures() > 0, "the failover was met");
    shop.audit().await;
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_elect_another_primary_in_the_middle_of_a_sale() {
    let servers = RedisSentinel::start(2, 3);
    let kill = async |_: &Shop| {
        let old = servers.kill9_primary();
        (old, servers.elected_after(old))
    };
    sold_over_a_failover(&servers.url(), kill, |old| servers.restart(old)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_promotes_a_replica_in_the_middle_of_a_sale() {
    let servers = RedisCluster::start(6);
    let kill = async |shop: &Shop| {
        let key = format!("fs:{{{}}}:meta", shop.sale);
        let old = servers.primary_of(&key).expect("a primary of the sale's slot");
        servers.kill9(old);
        (old, servers.elected_after(&key, old))
    };
    sold_over_a_failover(&servers.url(), kill, |old| servers.restart(old)).await;
}

/// Two servers that both believe to be the primary, each with a node: the ledger adopts one, the holds of the other are refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_primaries_only_one_sells() {
    let (one, two) = (servers::forgetful(), servers::forgetful());
    let shop = Shop::open(&[servers::brisk(&one.url()), servers::brisk(&two.url())], 1_000, HOLD).await;
    let sale = shop.sell(32);
    shop.more_answers(500).await;
    shop.finish();
    sale.await.expect("the sale");
    assert!(shop.failures() > 0, "a node was told that its holds are void");
    shop.audit().await;
    shop.close().await;
}
