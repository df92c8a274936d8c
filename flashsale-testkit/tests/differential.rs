//! Random steps: the fast gate answers as the model does.

use flashsale_core::memory::{MemoryLedger, MemoryRoomStore, MemoryStockGate};
use flashsale_testkit::differential;
use flashsale_testkit::fixture::clock;
use flashsale_testkit::model::{ModelGate, ModelRooms};

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

/// Two memory ledgers agree: what the runs meet is enough to compare other ledgers by.
#[test]
fn the_steps_for_ledgers_meet_every_kind_of_answer() {
    let mut seen = differential::Seen::default();
    for seed in 0..40 {
        let clock = clock();
        let (a, b) = (MemoryLedger::new(clock.clone(), 1), MemoryLedger::new(clock.clone(), 2));
        seen.add(&flashsale_testkit::run(differential::ledgers(&a, &b, &clock, 500, seed)));
        assert_eq!(a.audit(), Vec::<String>::new(), "seed {seed}");
    }
    let answers = [
        "accepted",
        "already",
        "conflict",
        "not open",
        "hold expired",
        "unknown item",
        "sold_out",
        "buyer_limit",
        "price_changed",
        "coupon_unknown",
        "coupon_used",
        "coupon_minimum",
        "fenced",
        "cancelled",
        "ended already",
        "not cancellable",
        "appended",
        "stale",
        "current",
        "followed",
        "superseded",
        "rewound",
        "changed",
        "not changed",
        "wallet moved",
        "wallet repeated",
        "insufficient",
        "key_reused",
        "same_member",
        "amount_zero",
        "told",
        "wished",
        "wished already",
        "still available",
        "left",
        "left already",
        "offered",
        "not offered",
        "declined",
        "lapsed",
    ];
    for answer in answers {
        assert!(seen.times(answer) > 20, "{answer} was seen {} times in {seen:?}", seen.times(answer));
    }
}

#[test]
fn the_memory_rooms_answer_as_the_model_does() {
    let mut seen = differential::Seen::default();
    for seed in 0..200 {
        let clock = clock();
        let (fast, model) = (MemoryRoomStore::new(clock.clone()), ModelRooms::new(clock.clone()));
        seen.add(&flashsale_testkit::run(differential::rooms(&fast, &model, &clock, 500, seed)));
    }
    let answers = [
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
    ];
    for answer in answers {
        assert!(seen.times(answer) > 100, "{answer} was seen {} times in {seen:?}", seen.times(answer));
    }
}
