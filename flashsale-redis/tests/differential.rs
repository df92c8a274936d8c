//! Random steps: the gate on Redis answers as the gate in memory does.

mod servers;

use flashsale_core::memory::MemoryStockGate;
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
