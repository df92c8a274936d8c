//! The rule of acceptance, as a pure function: a batch answers as the same requests would one by one.

use std::collections::HashMap;
use std::time::Duration;

use flashsale_core::discount::{Coupon, CouponRefusal, Discount};
use flashsale_core::id::ContentHash;
use flashsale_core::sale::{Line, Lines, SaleState, Window};
use flashsale_core::stock::{
    Accept, Acceptance, Books, Door, Epoch, HoldNo, ItemTotals, OrderState, Reason, Then, decide,
};
use flashsale_core::{BuyerId, CampaignId, CouponId, ItemId, Key, OrderId, Quantity, SaleId, Timestamp, won};
use proptest::prelude::*;

const ITEMS: [&str; 2] = ["left", "right"];

fn q(units: u64) -> Quantity {
    Quantity::new(units).unwrap()
}

fn books(totals: [u32; 2], limit: u64) -> Books {
    let door = Door { state: SaleState::Open, window: Window::ALWAYS, hold: Duration::from_secs(30) };
    let row = |(name, total): (&str, u32)| {
        let item = ItemId::new(name).unwrap();
        let row =
            ItemTotals { item: item.clone(), total, allocated: 0, price: won(1_000), limit: q(limit), waiting: false };
        (item, row)
    };
    Books {
        sale: SaleId::new("drop").unwrap(),
        door,
        epoch: Epoch(3),
        gated: true,
        sealed: HoldNo(10),
        next_v: 7,
        issued: 3,
        now: Timestamp::from_ms(1_000),
        known: HashMap::new(),
        items: ITEMS.into_iter().zip(totals).map(row).collect(),
        bought: HashMap::new(),
        wished: std::collections::HashSet::new(),
        coupons: HashMap::new(),
    }
}

fn order(buyer: u8, key: u8, hash: u64, units: [u64; 2]) -> Accept {
    let lines = ITEMS.iter().zip(units).filter(|(_, units)| *units > 0);
    let lines = lines.map(|(name, units)| Line { item: ItemId::new(name).unwrap(), units: q(units) }).collect();
    let (buyer, key) = (BuyerId::new(&format!("b{buyer}")).unwrap(), Key::new(&format!("k{key}")).unwrap());
    Accept {
        id: OrderId::of(&buyer, &key),
        hash: ContentHash(hash),
        lines: Lines::new(lines).unwrap(),
        hold: Some((Epoch(3), HoldNo(11))),
        expect: None,
        coupon: None,
        method: None,
        note: None,
        then: Then::Pay { within: Duration::from_secs(60) },
        trace: None,
    }
}

fn coupon(member: &str) -> Coupon {
    let (campaign, member) = (CampaignId::new("welcome").unwrap(), BuyerId::new(member).unwrap());
    Coupon {
        id: CouponId::of(&campaign, "once", &member).unwrap(),
        campaign,
        window: "once".to_owned(),
        member,
        discount: Discount { takes_off: won(300), from: won(1_000), only_with: None },
        expires_at: Timestamp::from_ms(2_000),
        used_by: None,
    }
}

fn reason(accept: Accept, mut books: Books) -> Option<Reason> {
    match decide(&[accept], &mut books).answers.remove(0) {
        Acceptance::Decided(order) => order.reason,
        other => panic!("not decided: {other:?}"),
    }
}

fn any_order() -> impl Strategy<Value = Accept> {
    (0..4_u8, 0..3_u8, 0..2_u64, 0..4_u64, 0..4_u64).prop_map(|(buyer, key, hash, left, right)| {
        order(buyer, key, hash, if left + right == 0 { [1, 0] } else { [left, right] })
    })
}

proptest! {
    /// Holes 11 and 13: partial refusal, and the same id, buyer or coupon twice in one batch.
    #[test]
    fn a_batch_answers_as_the_same_requests_one_by_one(
        batch in proptest::collection::vec(any_order(), 1..20),
        totals in (0..12_u32, 0..12_u32),
        limit in 1..5_u64,
    ) {
        let mut at_once = books([totals.0, totals.1], limit);
        let together = decide(&batch, &mut at_once).answers;
        let mut one_by_one = books([totals.0, totals.1], limit);
        let mut alone = Vec::new();
        for accept in &batch {
            alone.extend(decide(std::slice::from_ref(accept), &mut one_by_one).answers);
        }
        prop_assert_eq!(together, alone);
        for item in at_once.items.values() {
            prop_assert!(item.allocated <= item.total, "G1");
        }
        for units in at_once.bought.values() {
            prop_assert!(u64::from(*units) <= limit, "G3");
        }
    }
}

#[test]
fn duplicate_stands_before_everything() {
    let mut books = books([1, 1], 1);
    let first = order(1, 1, 5, [1, 0]);
    let _ = decide(std::slice::from_ref(&first), &mut books);
    books.door.state = SaleState::Closed;
    books.sealed = HoldNo(99);
    let again = decide(std::slice::from_ref(&first), &mut books).answers.remove(0);
    assert!(matches!(again, Acceptance::Already(order) if order.state == OrderState::Accepted));
    let other = decide(&[order(1, 1, 6, [1, 0])], &mut books).answers.remove(0);
    assert_eq!(other, Acceptance::Conflict);
}

#[test]
fn a_hold_of_another_epoch_or_below_the_seal_is_not_recorded() {
    for hold in [None, Some((Epoch(2), HoldNo(11))), Some((Epoch(3), HoldNo(10))), Some((Epoch(4), HoldNo(11)))] {
        let mut books = books([1, 1], 1);
        let accept = Accept { hold, ..order(1, 1, 5, [1, 0]) };
        let decision = decide(&[accept], &mut books);
        assert_eq!(decision.answers, [Acceptance::HoldExpired], "{hold:?}");
        assert!(decision.orders.is_empty());
    }
}

#[test]
fn refusals_come_in_the_order_of_the_protocol() {
    let seen = Accept { expect: Some(won(1)), ..order(1, 1, 5, [3, 0]) };
    assert_eq!(reason(seen, books([0, 0], 1)), Some(Reason::PriceChanged));
    assert_eq!(reason(order(1, 1, 5, [3, 0]), books([0, 0], 1)), Some(Reason::BuyerLimit));
    let with_coupon = Accept { coupon: Some(coupon("b1").id), ..order(1, 1, 5, [1, 0]) };
    assert_eq!(reason(with_coupon, books([0, 0], 1)), Some(Reason::Coupon(CouponRefusal::NotYours)));
    assert_eq!(reason(order(1, 1, 5, [1, 0]), books([0, 0], 1)), Some(Reason::SoldOut));
    assert_eq!(reason(order(1, 1, 5, [1, 0]), books([1, 0], 1)), None);
}

#[test]
fn a_coupon_that_cannot_be_used_refuses_the_order_never_full_price() {
    type Spoil = fn(&mut Coupon);
    let bad: [(Spoil, CouponRefusal); 4] = [
        (|c| c.member = BuyerId::new("b2").unwrap(), CouponRefusal::NotYours),
        (|c| c.used_by = Some(order(1, 9, 0, [1, 0]).id), CouponRefusal::Used),
        (|c| c.expires_at = Timestamp::from_ms(1_000), CouponRefusal::Expired),
        (|c| c.discount.from = won(1_001), CouponRefusal::BelowMinimum),
    ];
    for (spoil, refusal) in bad {
        let mut spoiled = coupon("b1");
        let id = spoiled.id.clone();
        spoil(&mut spoiled);
        let mut books = books([5, 5], 5);
        books.coupons.insert(id.clone(), spoiled);
        let accept = Accept { coupon: Some(id), expect: Some(won(700)), ..order(1, 1, 5, [1, 0]) };
        assert_eq!(reason(accept, books), Some(Reason::Coupon(refusal)));
    }
}

#[test]
fn one_coupon_serves_one_order_of_a_batch() {
    let mut books = books([5, 5], 5);
    books.coupons.insert(coupon("b1").id, coupon("b1"));
    let with_coupon = |key| Accept { coupon: Some(coupon("b1").id), ..order(1, key, 5, [1, 0]) };
    let decision = decide(&[with_coupon(1), with_coupon(2)], &mut books);
    let states: Vec<_> = decision.orders.iter().map(|order| (order.state, order.amounts.discount)).collect();
    assert_eq!(states, [(OrderState::Accepted, won(300)), (OrderState::Refused, won(0))]);
    assert_eq!(decision.redeemed.len(), 1);
}

#[test]
fn a_total_above_the_bound_is_refused_and_nothing_wraps() {
    let mut books = books([u32::MAX, 1], 1_000_000);
    if let Some(item) = books.items.get_mut(&ItemId::new("left").unwrap()) {
        item.price = flashsale_core::Money::MAX;
    }
    assert_eq!(reason(order(1, 1, 5, [1_000_000, 0]), books), Some(Reason::AmountTooLarge));
}

#[test]
fn without_a_gate_the_ledger_minds_the_window() {
    let accept = Accept { hold: None, ..order(1, 1, 5, [1, 0]) };
    let mut ungated = Books { gated: false, ..books([1, 1], 1) };
    ungated.door.window = Window { opens_at: Timestamp::from_ms(1_001), closes_at: Timestamp::FAR };
    assert_eq!(decide(std::slice::from_ref(&accept), &mut ungated).answers, [Acceptance::NotOpen(SaleState::Open)]);
    ungated.now = Timestamp::from_ms(1_001);
    assert!(
        matches!(decide(&[accept], &mut ungated).answers[0], Acceptance::Decided(ref o) if o.state == OrderState::Accepted)
    );
}
