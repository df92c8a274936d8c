//! A cluster and a watched primary come up whole and elect another primary when one dies.

use flashsale_services::{RedisCluster, RedisSentinel};

#[test]
fn a_cluster_elects_another_primary_for_the_slots_of_a_dead_one() {
    let cluster = RedisCluster::start(6);
    assert_eq!(cluster.urls().len(), 6);
    let primaries: Vec<usize> = ["b", "c", "a"].iter().map(|key| cluster.primary_of(key).unwrap()).collect();
    assert_eq!(primaries, [0, 1, 2], "slots 3300, 7365 and 15495");
    for (n, node) in cluster.nodes().iter().enumerate() {
        let role = node.ask(&["INFO", "replication"]).unwrap().field("role").unwrap();
        assert_eq!(role, if n < 3 { "master" } else { "slave" });
    }
    assert_eq!(cluster.nodes()[2].ask(&["SET", "a", "1"]).unwrap().text(), "OK");
    assert_eq!(cluster.nodes()[2].ask(&["WAIT", "1", "10000"]).unwrap().text(), "1");
    assert!(cluster.nodes()[0].ask(&["GET", "a"]).unwrap().text().starts_with("MOVED 15495"));

    cluster.kill9(2);
    let elected = cluster.elected_after("a", 2);
    assert_eq!(elected, 5, "the replica of node 2");
    assert_eq!(cluster.nodes()[elected].ask(&["GET", "a"]).unwrap().text(), "1");

    cluster.restart(2);
    cluster.settle().unwrap();
    assert_eq!(cluster.primary_of("a"), Some(5), "who comes back follows");
}

#[test]
fn sentinels_elect_another_primary_and_the_old_one_follows_it() {
    let all = RedisSentinel::start(2, 3);
    assert_eq!(all.sentinel_urls().len(), 3);
    assert_eq!(all.primary(), Some(0));
    assert_eq!(all.nodes()[0].ask(&["SET", "word", "kept"]).unwrap().text(), "OK");
    let copies = all.nodes()[0].ask(&["WAIT", "2", "10000"]).unwrap();
    assert_eq!(copies.text(), "2");

    assert_eq!(all.kill9_primary(), 0);
    let elected = all.elected_after(0);
    assert_eq!(all.primary_port(), Some(all.nodes()[elected].port()));
    assert_eq!(all.nodes()[elected].ask(&["GET", "word"]).unwrap().text(), "kept");
    assert_eq!(all.nodes()[elected].ask(&["SET", "word", "new"]).unwrap().text(), "OK");

    all.restart(0);
    all.settle().unwrap();
    assert_eq!(all.primary(), Some(elected));
    assert_eq!(all.nodes()[0].ask(&["GET", "word"]).unwrap().text(), "new");
}
