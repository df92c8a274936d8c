//! Histories: a right gate passes, each planted bug is found, and the checker itself is neither too strict nor too mild.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flashsale_core::error::BackendError;
use flashsale_core::memory::MemoryStockGate;
use flashsale_core::stock::{
    Answers, Begun, Due, Epoch, Hold, HoldNo, Level, Load, Nonce, Recalled, Reservation, Reserve, ReserveRefusal,
    Reserved, StockGate, Synced, Update,
};
use flashsale_core::{Clock, SaleId, Timestamp};
use flashsale_testkit::fixture::{START, clock};
use flashsale_testkit::history::{
    Asked, Broken, Call, Caller, History, Plan, Reply, Report, TickingClock, Told, Violation, check, check_within,
    record,
};
use flashsale_testkit::model::ModelGate;
use flashsale_testkit::planted::{GateBug, PlantedGates, StepBug, StepGate};
use flashsale_testkit::sample::{HOLD, door, item, level, load, reserve, sale_id, version};
use flashsale_testkit::{Fixture, differential, run};

fn ticking() -> Arc<dyn Clock> {
    Arc::new(TickingClock::every(8))
}

/// Records on two threads.
fn recorded(gate: impl StockGate + 'static, operations: u64, seed: u64) -> History {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime");
    runtime.block_on(record(Arc::new(gate), &Plan::of(operations), seed)).expect("a recording")
}

/// I15 and G6, on histories that meet every kind of answer.
#[test]
fn the_memory_gate_is_linearizable() {
    let report =
        check(&recorded(MemoryStockGate::new(ticking()), 100_000, 1)).unwrap_or_else(|found| panic!("{found}"));
    assert!(
        report.operations >= 100_000 && report.at_once >= 4 && report.lost > 20 && report.pairs > 1_000,
        "{report}"
    );
    let answers = [
        "held",
        "done",
        "key_reused",
        "unknown_item",
        "buyer_limit",
        "waitlist",
        "sold_out",
        "all_held",
        "due",
        "level",
        "early answers",
        "synced and sealed",
        "not synced",
    ];
    for answer in answers {
        assert!(report.seen.times(answer) > 0, "{answer} was not seen: {report}");
    }
}

#[test]
fn the_model_is_linearizable() {
    let report = check(&recorded(ModelGate::new(ticking()), 20_000, 2)).unwrap_or_else(|found| panic!("{found}"));
    assert!(report.operations >= 20_000, "{report}");
}

/// A gate with this bug is found within a few recordings, by a verdict; without it, the same recordings pass.
fn found(bug: StepBug) -> Violation {
    for seed in 0..4 {
        let right = check(&recorded(StepGate::with(StepBug::Nothing, ticking()), 5_000, seed));
        right.unwrap_or_else(|found| panic!("nothing is planted, and yet: {found}"));
        if let Err(violation) = check(&recorded(StepGate::with(bug, ticking()), 5_000, seed)) {
            assert_ne!(violation.broken(), Broken::Undecided, "{violation}");
            return violation;
        }
    }
    panic!("{bug:?} was not found");
}

#[test]
fn a_gate_that_reserves_in_two_steps_is_found() {
    let violation = found(StepBug::TwoSteps);
    assert!(violation.to_string().contains("None of these can come next"), "{violation}");
}

#[test]
fn a_gate_that_answers_a_repeat_with_a_new_number_is_found() {
    found(StepBug::RepeatRenumbered);
}

#[test]
fn a_gate_that_loses_a_hold_silently_is_found() {
    found(StepBug::HoldLost);
}

#[test]
fn a_gate_whose_refusals_name_a_wrong_number_is_found() {
    found(StepBug::AfterOffByOne);
}

#[test]
fn a_gate_that_copies_an_update_late_is_found() {
    found(StepBug::SyncLate);
}

/// What only many clients at once show, no sequence of single calls does.
#[test]
fn two_steps_are_right_one_after_the_other() {
    for seed in 0..5 {
        let clock = clock();
        let (gate, model) = (StepGate::with(StepBug::TwoSteps, clock.clone()), ModelGate::new(clock.clone()));
        run(differential::gates(&gate, &model, &clock, 400, seed));
    }
}

#[test]
fn the_bugs_that_the_suite_finds_are_found_in_histories() {
    let verdict = |bug| check(&recorded(run(PlantedGates::with(bug).fresh()), 20_000, 3));
    verdict(GateBug::Nothing).unwrap_or_else(|found| panic!("nothing is planted, and yet: {found}"));
    let bugs = [
        GateBug::StockBeforeDuplicate,
        GateBug::SyncWithoutVersionTest,
        GateBug::DecisionsForgotten,
        GateBug::WaitlistIgnored,
    ];
    for bug in bugs {
        let violation = verdict(bug).expect_err("a planted bug is found");
        assert_eq!(violation.broken(), Broken::Order, "{bug:?}: {violation}");
    }
}

/// An answer that was lost may stand for what happened at any later time: to know less makes nothing wrong.
#[test]
fn a_right_history_stays_right_when_nobody_knows_when_lost_calls_were_over() {
    let mut history = recorded(MemoryStockGate::new(ticking()), 20_000, 4);
    let mut lost = 0;
    for call in &mut history.calls {
        if let Reply::Lost(over) = &mut call.reply {
            (*over, lost) = (None, lost + 1);
        }
    }
    assert!(lost > 0, "some answers were lost");
    check(&history).unwrap_or_else(|found| panic!("{found}"));
}

#[test]
fn a_search_that_is_given_up_is_no_pass() {
    let history = recorded(MemoryStockGate::new(ticking()), 1_000, 5);
    assert_eq!(check_within(&history, 10).expect_err("no pass").broken(), Broken::Undecided);
    check(&history).unwrap_or_else(|found| panic!("{found}"));
}

/// Does every thirtieth batch or update and says that it does not know; every fortieth it does not do.
#[derive(Debug)]
struct Unsteady {
    gate: MemoryStockGate,
    calls: AtomicU64,
}

impl Unsteady {
    async fn through<T: Send>(
        &self,
        call: impl Future<Output = Result<T, BackendError>> + Send,
    ) -> Result<T, BackendError> {
        let n = self.calls.fetch_add(1, Ordering::SeqCst);
        if n.is_multiple_of(40) {
            return Err(BackendError::unavailable("gate.call", "no connection"));
        }
        let told = call.await;
        if n.is_multiple_of(30) { Err(BackendError::unknown("gate.call", "the connection broke")) } else { told }
    }
}

#[async_trait::async_trait]
impl StockGate for Unsteady {
    async fn begin(&self, sale: &SaleId, nonce: Nonce) -> Result<Begun, BackendError> {
        self.gate.begin(sale, nonce).await
    }
    async fn forget(&self, sale: &SaleId, nonce: Nonce) -> Result<(), BackendError> {
        self.gate.forget(sale, nonce).await
    }
    async fn answers(&self, sale: &SaleId, nonce: Nonce, page: &Answers) -> Result<Synced, BackendError> {
        self.through(self.gate.answers(sale, nonce, page)).await
    }
    async fn load(&self, sale: &SaleId, load: &Load) -> Result<Synced, BackendError> {
        self.gate.load(sale, load).await
    }
    async fn reserve(&self, sale: &SaleId, batch: &[Reserve]) -> Result<Reservation, BackendError> {
        self.through(self.gate.reserve(sale, batch)).await
    }
    async fn due(&self, sale: &SaleId) -> Result<Option<Due>, BackendError> {
        self.through(self.gate.due(sale)).await
    }
    async fn sync(&self, sale: &SaleId, update: &Update) -> Result<Synced, BackendError> {
        self.through(self.gate.sync(sale, update)).await
    }
    async fn level(&self, sale: &SaleId) -> Result<Level, BackendError> {
        self.through(self.gate.level(sale)).await
    }
    async fn recall(&self, sale: &SaleId, cursor: u64) -> Result<Recalled, BackendError> {
        self.through(self.gate.recall(sale, cursor)).await
    }
}

/// What is unknown is a lost answer, what is unavailable did not happen.
#[test]
fn an_unsteady_gate_is_linearizable() {
    let history = recorded(Unsteady { gate: MemoryStockGate::new(ticking()), calls: AtomicU64::new(1) }, 20_000, 6);
    let unknown = history.calls.iter().filter(|call| matches!(call.reply, Reply::Lost(None))).count();
    assert!(unknown > 10, "{unknown} outcomes are unknown");
    check(&history).unwrap_or_else(|found| panic!("{found}"));
}

/// A history by hand: one item `a` with so many units.
fn by_hand(free: u32, calls: Vec<Call>) -> Result<Report, Violation> {
    check(&History { sale: sale_id("drop"), load: load(&[level("a", free, 9)]), calls })
}

fn call(called: u64, asked: Asked, reply: Reply) -> Call {
    Call { by: Caller::Client(0), called, asked, reply }
}

fn one(id: &str) -> Asked {
    Asked::Reserve(vec![request(id)])
}

fn request(id: &str) -> Reserve {
    reserve(id, &[("a", 1)])
}

fn hold(no: u64) -> Hold {
    Hold { epoch: Epoch(1), no: HoldNo(no), deadline: START.after(HOLD) }
}

fn held(moment: u64, no: u64) -> Reply {
    told(moment, Ok(Reserved::Held(hold(no))))
}

fn all_held(moment: u64, after: u64) -> Reply {
    told(moment, Err(ReserveRefusal::AllHeld { item: item("a"), after: HoldNo(after) }))
}

fn told(moment: u64, answer: Result<Reserved, ReserveRefusal>) -> Reply {
    Reply::Told(moment, Told::Reserve(Reservation::Answers(vec![answer])))
}

fn due(called: u64, replied: u64, lapsed: u64) -> Call {
    let due = Due { nonce: Nonce(7), version: version(1), lapsed: HoldNo(lapsed) };
    call(called, Asked::Due, Reply::Told(replied, Told::Due(Some(due))))
}

fn broken(verdict: Result<Report, Violation>) -> Broken {
    verdict.expect_err("a violation").broken()
}

#[test]
fn calls_that_overlap_have_no_order_and_others_have() {
    let calls = |b| vec![call(0, one("ann~1"), held(10, 2)), call(b, one("bob~1"), held(20, 1))];
    by_hand(9, calls(5)).unwrap_or_else(|found| panic!("{found}"));
    assert_eq!(broken(by_hand(9, calls(11))), Broken::Order);
}

#[test]
fn a_number_that_was_told_to_two_is_a_violation() {
    let calls = vec![call(0, one("ann~1"), held(10, 1)), call(5, one("bob~1"), held(20, 1))];
    assert_eq!(broken(by_hand(9, calls)), Broken::Number);
}

#[test]
fn a_missing_number_can_be_that_of_a_lost_answer() {
    let lost = call(0, one("ann~1"), Reply::Lost(None));
    by_hand(9, vec![lost, call(5, one("bob~1"), held(20, 2))]).unwrap_or_else(|found| panic!("{found}"));
    assert_eq!(broken(by_hand(9, vec![call(5, one("bob~1"), held(20, 2))])), Broken::Order);
}

#[test]
fn a_lost_call_that_was_over_happened_before_or_never() {
    let calls = |over| {
        let lost = call(0, one("ann~1"), Reply::Lost(over));
        vec![lost, call(5, one("bob~1"), held(6, 1)), call(7, one("cid~1"), all_held(8, 2))]
    };
    by_hand(2, calls(None)).unwrap_or_else(|found| panic!("{found}"));
    by_hand(2, calls(Some(9))).unwrap_or_else(|found| panic!("{found}"));
    assert_eq!(broken(by_hand(2, calls(Some(4)))), Broken::Order, "it was over before bob was given number 1");
}

#[test]
fn a_lost_call_that_changed_nothing_is_no_obstacle() {
    let lost = call(0, one("ann~1"), Reply::Lost(None));
    by_hand(1, vec![lost, call(5, one("bob~1"), held(6, 1))]).unwrap_or_else(|found| panic!("{found}"));
}

/// A hold of 200 ms from `START`; a later hold shows that the gate's time was still `START`, or not.
#[test]
fn a_hold_is_due_only_if_its_deadline_can_have_passed() {
    let later = |ms: i64| {
        let deadline = Timestamp::from_ms(START.ms() + ms).after(HOLD);
        let hold = Hold { deadline, ..hold(2) };
        call(30, one("bob~1"), told(40, Ok(Reserved::Held(hold))))
    };
    let first = || call(0, one("ann~1"), held(10, 1));
    by_hand(9, vec![first(), due(20, 25, 1)]).unwrap_or_else(|found| panic!("nothing says when it was: {found}"));
    by_hand(9, vec![first(), due(20, 25, 1), later(200)]).unwrap_or_else(|found| panic!("{found}"));
    assert_eq!(broken(by_hand(9, vec![first(), due(20, 25, 1), later(199)])), Broken::Order, "it lapsed too soon");
    by_hand(9, vec![first(), later(199), due(50, 55, 0)]).unwrap_or_else(|found| panic!("{found}"));
    assert_eq!(broken(by_hand(9, vec![first(), later(200), due(50, 55, 0)])), Broken::Order, "it should have lapsed");
}

#[test]
fn a_lost_update_is_found_by_what_follows_it() {
    let update = Update {
        nonce: Some(Nonce(7)),
        from: version(1),
        to: version(2),
        sealed: HoldNo(0),
        door: door(),
        items: vec![level("a", 1, 9)],
        orders: vec![],
        bought: vec![],
    };
    let sync = |reply| call(0, Asked::Sync(Arc::new(update.clone())), reply);
    let refused = || call(1, one("ann~1"), told(2, Err(ReserveRefusal::SoldOut { item: item("a"), after: HoldNo(0) })));
    let held = || call(3, one("ann~1"), held(4, 1));
    by_hand(0, vec![sync(Reply::Lost(None)), refused(), held()]).unwrap_or_else(|found| panic!("{found}"));
    let done = Reply::Told(5, Told::Synced(Synced::Done));
    by_hand(0, vec![sync(done), refused(), held()]).unwrap_or_else(|found| panic!("{found}"));
    let not_done = Reply::Told(5, Told::Synced(Synced::Refused));
    assert_eq!(broken(by_hand(0, vec![sync(not_done), refused(), held()])), Broken::Order);
}

#[test]
fn a_violation_says_what_was_told_and_what_should_have_been() {
    let calls = vec![call(0, one("ann~1"), held(1, 1)), call(2, one("bob~1"), all_held(3, 0))];
    let text = by_hand(1, calls).expect_err("a wrong number").to_string();
    let says = "request 1 (bob~1, 1 of a) was told: all_held after 0; the model tells: all_held after 1";
    assert!(text.contains(says), "{text}");
    assert!(text.contains("client 0 [0..1] reserve 1: ann~1 held 1 until"), "{text}");
}
