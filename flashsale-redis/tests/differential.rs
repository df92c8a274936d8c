//! Random steps: the gate and the rooms on Redis answer as those in memory do.

mod servers;

use flashsale_core::memory::{MemoryRoomStore, MemoryStockGate};
use flashsale_testkit::{differential, fixture};

/// 250 sales of 400 steps, time moved by hand: 100,000 steps, each of up to six requests.
#[test]
fn redis_answers_as_memory_does() {
    let server = servers::forgetful();
    let mut seen = differential::Seen::default();
    for seed in 0..250 {
        let clock = fixture::clock();
        seen.add(&flashsale_testkit::run(async {
            let redis = servers::gate(&server.url()).await.with_clock(clock.clone());
            let memory = MemoryStockGate::new(clock.clone());
            differential::gates(&redis, &memory, &clock, 400, 10_000 + seed).await
        }));
    }
    for answer in [
        "held",
        "done",
        "key_reused",
        "buyer_limit",
        "waitlist",
        "sold_out",
        "all_held",
        "not loaded",
        "synced and sealed",
    ] {
        assert!(seen.times(answer) > 100, "{answer} was seen {} times in {seen:?}", seen.times(answer));
    }
}

/// 60 runs of 500 steps, time moved by hand: 30,000 steps, and after each of them the levels.
#[test]
fn rooms_on_redis_answer_as_in_memory() {
    let server = servers::forgetful();
    let mut seen = differential::Seen::default();
    for seed in 0..60 {
        let clock = fixture::clock();
        seen.add(&flashsale_testkit::run(async {
            let redis = servers::rooms(&server.url()).await.with_clock(clock.clone());
            let memory = MemoryRoomStore::new(clock.clone());
            differential::rooms(&redis, &memory, &clock, 500, 20_000 + seed).await
        }));
    }
    for answer in [
        "through",
        "new place",
        "same place",
        "too early",
        "over",
        "full",
        "no room",
        "no place",
        "waiting",
        "absent",
        "turn",
        "finished",
        "left",
        "turn passed",
        "admitted",
        "skipped",
        "lapsed",
        "forgotten",
    ] {
        assert!(seen.times(answer) > 30, "{answer} was seen {} times in {seen:?}", seen.times(answer));
    }
}
