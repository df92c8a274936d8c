//! The saga, as scripts: a row, the inputs that arrive, and what it becomes. Pure, in no time.

use std::time::Duration;

use flashsale_core::id::ContentHash;
use flashsale_core::order::{
    Amounts, Append, Ask, Input, Order, OrderState, Policy, Reason, Units, Verdict, ask, step,
};
use flashsale_core::payment::DeclineReason;
use flashsale_core::sale::Lines;
use flashsale_core::stock::{Epoch, HoldNo};
use flashsale_core::{ItemId, OrderId, Quantity, SaleId, Timestamp, won};
use proptest::prelude::*;

fn row(state: OrderState) -> Order {
    Order {
        id: OrderId::new("ann~k1").unwrap(),
        sale: SaleId::new("drop").unwrap(),
        hash: ContentHash(1),
        state,
        reason: None,
        stuck: None,
        ver: 1,
        v: 1,
        hold: Some((Epoch(1), HoldNo(1))),
        lines: Lines::one(&ItemId::new("left").unwrap(), Quantity::MIN),
        amounts: Amounts { list: won(1_000), discount: won(0), pays: won(1_000) },
        coupon: None,
        method: None,
        note: None,
        decided_at: Timestamp::from_ms(0),
        since: Timestamp::from_ms(0),
        pay_by: Some(Timestamp::from_ms(60_000)),
        pay_no: Some(1),
        due_at: Some(Timestamp::from_ms(60_000)),
        tries: 0,
        action: None,
    }
}

const APPROVED: Input = Input::Approved { amount: won(1_000) };

/// Plays inputs at their times and tells the states, with the facts that were told.
fn play(from: OrderState, inputs: &[(i64, Input)]) -> (Vec<String>, Order) {
    let mut order = row(from);
    let mut told = Vec::new();
    for (at, input) in inputs {
        let input = match input {
            Input::Deadline { .. } => Input::Deadline { ver: order.ver },
            other => other.clone(),
        };
        match step(Some(&order), &input, Timestamp::from_ms(*at), &Policy::default()) {
            Verdict::Move(append) => {
                let Append { order: next, units, events, .. } = *append;
                let facts: Vec<&str> = events.iter().map(|event| event.fact.kind()).collect();
                let back = if units == Units::GiveBack { " units back" } else { "" };
                told.push(format!("{}{back} {}", next.state.code(), facts.join(" ")).trim_end().to_owned());
                order = next;
            }
            other => told.push(format!("{other:?}")),
        }
    }
    (told, order)
}

fn states(from: OrderState, inputs: &[(i64, Input)]) -> Vec<String> {
    play(from, inputs).0
}

#[test]
fn approved_is_confirmed_once() {
    let inputs = [(1, Input::TurnToPay), (2, APPROVED), (3, APPROVED), (4, Input::TurnToPay)];
    let told = states(OrderState::Accepted, &inputs);
    assert_eq!(told, ["paying order.payment_requested", "confirmed order.confirmed", "Already", "Ignored"]);
}

#[test]
fn declined_gives_the_units_back_once() {
    let declined = Input::Declined(DeclineReason::Refused);
    let inputs = [(1, Input::TurnToPay), (2, declined.clone()), (3, declined), (4, APPROVED)];
    let told = states(OrderState::Accepted, &inputs);
    let refund = "refunding order.return_requested";
    assert_eq!(told, ["paying order.payment_requested", "cancelled units back order.cancelled", "Already", refund]);
}

/// Hole 26: a payment in doubt is fenced before its order ends.
#[test]
fn an_unknown_payment_is_looked_up_then_fenced_never_refused() {
    let deadline = Input::Deadline { ver: 0 };
    let inputs = [
        (1, Input::TurnToPay),
        (2, Input::Unknown),
        (60_000, deadline),
        (60_001, Input::Unknown),
        (62_000, Input::PaymentCancelled),
    ];
    let (told, order) = play(OrderState::Accepted, &inputs);
    let expected =
        ["paying order.payment_requested", "paying", "closing", "closing", "cancelled units back order.cancelled"];
    assert_eq!(told, expected);
    assert_eq!(order.reason, Some(Reason::Timeout));
}

/// Hole 27: units of an order that was closing are still its own.
#[test]
fn approved_while_closing_is_confirmed_or_refunded_by_why_it_closed() {
    let late = [(1, Input::TurnToPay), (60_000, Input::Deadline { ver: 0 }), (60_001, APPROVED)];
    assert_eq!(states(OrderState::Accepted, &late)[2], "confirmed order.confirmed");
    let changed = [(1, Input::TurnToPay), (2, Input::BuyerCancels), (3, APPROVED), (4, Input::Refunded)];
    let told = states(OrderState::Accepted, &changed);
    assert_eq!(told[1..], ["closing", "refunding units back order.return_requested", "refunded order.returned"]);
}

#[test]
fn a_gateway_that_never_answers_ends_the_order_within_its_bound() {
    let mut inputs = vec![(1, Input::TurnToPay), (60_000, Input::Deadline { ver: 0 })];
    inputs.extend((0..40).map(|n| (60_000 + n * 60_000, Input::Unknown)));
    let (told, order) = play(OrderState::Accepted, &inputs);
    assert_eq!(order.state, OrderState::Cancelled);
    assert_eq!(told.iter().filter(|line| line.contains("units back")).count(), 1, "G5: once");
}

#[test]
fn a_refund_that_does_not_go_through_is_reported_stuck_once() {
    let mut inputs = vec![(1, Input::Return)];
    inputs.extend((2..30).map(|n| (n, Input::Unknown)));
    let (told, order) = play(OrderState::Confirmed, &inputs);
    assert_eq!(told.iter().filter(|line| line.contains("order.stuck")).count(), 1);
    assert_eq!(order.stuck.as_deref(), Some("refund"));
}

#[test]
fn a_wrong_amount_is_stuck_and_keeps_the_units() {
    let wrong = Input::Approved { amount: won(999) };
    let (told, order) = play(OrderState::Paying, &[(1, wrong.clone()), (2, wrong)]);
    assert_eq!(told, ["paying order.stuck", "Already"]);
    assert!(order.state.holds_units());
}

#[test]
fn an_old_deadline_is_ignored() {
    let order = Order { ver: 5, ..row(OrderState::Accepted) };
    let verdict = step(Some(&order), &Input::Deadline { ver: 4 }, Timestamp::from_ms(70_000), &Policy::default());
    assert_eq!(verdict, Verdict::Ignored);
}

#[test]
fn a_return_is_taken_within_its_time() {
    let day = 86_400_000;
    assert!(states(OrderState::Confirmed, &[(6 * day, Input::Return)])[0].starts_with("refunding units back"));
    assert!(states(OrderState::Confirmed, &[(7 * day, Input::Return)])[0].starts_with("ReturnPassed"));
}

/// G4: the place of an issued coupon is not freed while its member keeps the coupon.
#[test]
fn a_claim_cannot_be_returned() {
    let claim = Order { pay_by: None, ..row(OrderState::Confirmed) };
    let verdict = step(Some(&claim), &Input::Return, Timestamp::from_ms(1), &Policy::default());
    assert_eq!(verdict, Verdict::NotBought);
}

#[test]
fn what_is_due_is_asked_of_the_gateway_by_state() {
    let at = Timestamp::from_ms(10);
    assert!(matches!(ask(&row(OrderState::Paying), at), Ask::LookUp(_)));
    assert!(matches!(ask(&row(OrderState::Paying), Timestamp::from_ms(60_000)), Ask::Deadline));
    assert!(matches!(ask(&row(OrderState::Closing), at), Ask::Fence(_)));
    assert!(matches!(ask(&row(OrderState::Refunding), at), Ask::Refund(_)));
    assert!(matches!(ask(&row(OrderState::Accepted), at), Ask::Deadline));
}

fn any_input() -> impl Strategy<Value = Input> {
    prop_oneof![
        Just(Input::OfferTaken { pay_within: Some(Duration::from_secs(60)) }),
        Just(Input::OfferTold),
        Just(Input::OfferDeclined),
        Just(Input::BuyerCancels),
        Just(Input::TurnToPay),
        (0..3_u64).prop_map(|off| Input::Approved { amount: won(999 + off) }),
        Just(Input::Declined(DeclineReason::Insufficient)),
        Just(Input::NeedsBuyer { action: "page".to_owned(), until: Timestamp::from_ms(90_000) }),
        Just(Input::Unknown),
        Just(Input::PaymentCancelled),
        Just(Input::Deadline { ver: 0 }),
        Just(Input::Return),
        Just(Input::Refunded),
    ]
}

proptest! {
    /// Whatever arrives in whatever order: units go back at most once, exactly when the order stops holding them, each version is
    /// one more than the last, and an order that is not final wakes up again.
    #[test]
    fn any_story_gives_units_back_at_most_once_and_never_falls_asleep(
        inputs in proptest::collection::vec((0..200_000_i64, any_input()), 0..40),
    ) {
        let mut times: Vec<i64> = inputs.iter().map(|(at, _)| *at).collect();
        times.sort_unstable();
        let mut order = row(OrderState::Accepted);
        let mut back = 0;
        for (at, (_, input)) in times.into_iter().zip(inputs) {
            let input = if let Input::Deadline { .. } = input { Input::Deadline { ver: order.ver } } else { input };
            if let Verdict::Move(append) = step(Some(&order), &input, Timestamp::from_ms(at), &Policy::default()) {
                prop_assert_eq!(append.expect, order.ver);
                prop_assert_eq!(append.order.ver, order.ver + 1);
                let leaves = order.state.holds_units() && !append.order.state.holds_units();
                prop_assert_eq!(append.units == Units::GiveBack, leaves);
                back += u32::from(leaves);
                order = append.order;
            }
            let ended = matches!(order.state, OrderState::Confirmed | OrderState::Cancelled | OrderState::Refunded);
            prop_assert!(ended || order.stuck.is_some() || order.due_at.is_some(), "{:?}", order);
        }
        prop_assert!(back <= 1);
    }
}
