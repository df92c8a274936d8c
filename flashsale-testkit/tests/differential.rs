//! Random steps: the fast gate answers as the model does.

use flashsale_core::memory::MemoryStockGate;
use flashsale_testkit::differential;
use flashsale_testkit::fixture::clock;
use flashsale_testkit::model::ModelGate;

#[test]
fn the_memory_gate_answers_as_the_model_does() {
    let mut seen = differential::Seen::default();
    for seed in 0..200 {
        let clock = clock();
        let (fast, model) = (MemoryStockGate::new(clock.clone()), ModelGate::new(clock.clone()));
        seen.add(&flashsale_testkit::run(differential::gates(&fast, &model, &clock, 400, seed)));
    }
    let answers = [
        "held",
        "done",
        "key_reused",
        "paused",
        "not_open",
        "closed",
        "unknown_item",
        "buyer_limit",
        "waitlist",
        "sold_out",
        "all_held",
        "not loaded",
        "synced",
        "synced and sealed",
    ];
    for answer in answers {
        assert!(seen.times(answer) > 100, "{answer} was seen {} times in {seen:?}", seen.times(answer));
    }
}
