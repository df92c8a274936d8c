//! Coupons inside the accepting step: used once, never a full price in silence, never more than the cap (G4; design 3, step 5).

use std::time::Duration;

use flashsale_core::Timestamp;
use flashsale_core::coupon::CouponRefusal;
use flashsale_core::error::ErrorKind;
use flashsale_core::stock::{Accept, Acceptance, Amounts, OrderState, Reason, StockLedger, Then};

use super::{Ledgers, Open, opened, word, words};
use crate::sample::{accept, amount, claim, coupon, order, sale, sale_id, with_coupon};

const MINE: &str = "plant~w1~ann";

/// A sale of an item at 10,000 and one at 6,000, beside a window of which `ann` has a coupon that ends at `expires_at`.
async fn with_plant<F: Ledgers>(fixture: &F, expires_at: impl FnOnce(Timestamp) -> Timestamp) -> Open<F::Port> {
    let drop = opened(fixture, &sale("drop", &[("a", 9, 10_000, 9), ("b", 9, 6_000, 9)])).await;
    drop.ledger.open(&sale("plant:w1", &[("coupon", 100, 0, 1)])).await.expect("open").expect("new");
    let now = drop.ledger.totals(&drop.sale).await.expect("totals").expect("a sale").now;
    let window = Open { ledger: drop.ledger, sale: sale_id("plant:w1") };
    window.take(claim("c1", coupon(MINE, expires_at(now)))).await;
    Open { ledger: window.ledger, sale: drop.sale }
}

async fn valid<F: Ledgers>(fixture: &F) -> Open<F::Port> {
    with_plant(fixture, |now| now.after(Duration::from_secs(86_400))).await
}

fn refused(why: CouponRefusal) -> Reason {
    Reason::Coupon(why)
}

/// The buyer pays less, and the total that he saw is the one with the coupon taken off.
pub async fn a_coupon_takes_its_amount_off(fixture: &impl Ledgers) {
    let drop = valid(fixture).await;
    let ask = Accept { expect: Some(amount(7_000)), ..with_coupon(MINE, accept("ann~1", &[("a", 1)])) };
    let order = drop.take(ask).await;
    assert_eq!(order.amounts, Amounts { list: amount(10_000), discount: amount(3_000), pays: amount(7_000) });
    assert_eq!(order.coupon.as_ref().map(|id| id.as_str()), Some(MINE));
}

/// G4: a coupon is used once.
pub async fn a_used_coupon_is_refused(fixture: &impl Ledgers) {
    let drop = valid(fixture).await;
    drop.take(with_coupon(MINE, accept("ann~1", &[("a", 1)]))).await;
    let again = drop.refusal(with_coupon(MINE, accept("ann~2", &[("a", 1)]))).await;
    assert_eq!(again, refused(CouponRefusal::Used));
    assert_eq!(drop.allocated("a").await, 1);
}

/// Hole 13: two orders of one batch with the same coupon.
pub async fn the_same_coupon_twice_in_one_batch_is_used_once(fixture: &impl Ledgers) {
    let drop = valid(fixture).await;
    let batch = [with_coupon(MINE, accept("ann~1", &[("a", 1)])), with_coupon(MINE, accept("ann~2", &[("a", 1)]))];
    assert_eq!(words(&drop.batch(&batch).await.answers), ["accepted", "refused"]);
    assert_eq!(drop.refusal(with_coupon(MINE, accept("ann~3", &[("a", 1)]))).await, refused(CouponRefusal::Used));
}

/// A coupon of another member, and one that does not exist, are not told apart.
pub async fn somebody_elses_coupon_is_unknown(fixture: &impl Ledgers) {
    let drop = valid(fixture).await;
    for (id, coupon) in [("bob~1", MINE), ("bob~2", "plant~w1~bob")] {
        let answer = drop.refusal(with_coupon(coupon, accept(id, &[("a", 1)]))).await;
        assert_eq!(answer, refused(CouponRefusal::NotYours));
    }
    drop.take(with_coupon(MINE, accept("ann~1", &[("a", 1)]))).await;
}

/// Hole 18: the coupon is read under the lock: one that expired between the page and the commit is refused.
pub async fn an_expired_coupon_is_refused(fixture: &impl Ledgers) {
    let drop = with_plant(fixture, |now| now.after(Duration::from_secs(2))).await;
    fixture.advance(Duration::from_secs(2)).await;
    let late = drop.refusal(with_coupon(MINE, accept("ann~1", &[("a", 1)]))).await;
    assert_eq!(late, refused(CouponRefusal::Expired));
}

/// 3,000 off from 10,000 up: 9,999 and less is below, 10,000 is not.
pub async fn a_total_below_the_minimum_is_refused(fixture: &impl Ledgers) {
    let drop = valid(fixture).await;
    let below = drop.refusal(with_coupon(MINE, accept("ann~1", &[("b", 1)]))).await;
    assert_eq!(below, refused(CouponRefusal::BelowMinimum));
    assert_eq!(drop.take(with_coupon(MINE, accept("ann~2", &[("b", 2)]))).await.amounts.pays, amount(9_000));
}

/// Only with the wallet: not with another way to pay, not with none.
pub async fn a_coupon_asks_for_its_way_to_pay(fixture: &impl Ledgers) {
    let drop = valid(fixture).await;
    let bare = Accept { method: None, ..with_coupon(MINE, accept("ann~1", &[("a", 1)])) };
    assert_eq!(drop.refusal(bare).await, refused(CouponRefusal::Method));
    let card = flashsale_core::Method::new("card").expect("a method");
    let card = Accept { method: Some(card), ..with_coupon(MINE, accept("ann~2", &[("a", 1)])) };
    assert_eq!(drop.refusal(card).await, refused(CouponRefusal::Method));
}

/// Hole 18: a refused coupon is a refused order that takes nothing, whatever total the buyer saw.
pub async fn a_refused_coupon_is_never_a_full_price(fixture: &impl Ledgers) {
    let drop = valid(fixture).await;
    for (id, seen) in [("bob~1", Some(amount(10_000))), ("bob~2", Some(amount(7_000))), ("bob~3", None)] {
        let ask = Accept { expect: seen, ..with_coupon(MINE, accept(id, &[("a", 1)])) };
        let order = drop.decide(ask).await;
        assert_eq!((order.state, order.amounts), (OrderState::Refused, Amounts::default()));
        assert_eq!(order.reason, Some(refused(CouponRefusal::NotYours)));
    }
    assert_eq!(drop.allocated("a").await, 0);
}

/// Precedence: a coupon that cannot be used is told before sold out; a refused order does not use it up.
pub async fn a_coupon_is_refused_before_want_of_stock(fixture: &impl Ledgers) {
    let drop = valid(fixture).await;
    drop.take(accept("cid~1", &[("a", 9)])).await;
    let both = drop.refusal(with_coupon(MINE, accept("bob~1", &[("a", 1)]))).await;
    assert_eq!(both, refused(CouponRefusal::NotYours));
    assert_eq!(drop.refusal(with_coupon(MINE, accept("ann~1", &[("a", 1)]))).await, Reason::SoldOut);
    drop.take(with_coupon(MINE, accept("ann~2", &[("b", 2)]))).await;
}

/// An issued coupon is an order of the window's sale, confirmed at once, and a row that can be used.
pub async fn an_issued_coupon_is_a_confirmed_order(fixture: &impl Ledgers) {
    let drop = valid(fixture).await;
    let window = Open { ledger: drop.ledger, sale: sale_id("plant:w1") };
    let expires_at = Timestamp::FAR;
    let order = window.take(claim("c1", coupon("plant~w1~bob", expires_at))).await;
    assert_eq!((order.state, order.due_at, order.pay_by), (OrderState::Confirmed, None, None));
    assert_eq!(window.allocated("coupon").await, 2);
    let again = window.ask(claim("c1", coupon("plant~w1~bob", expires_at))).await;
    assert_eq!(again, Acceptance::Already(order));
    let drop = Open { ledger: window.ledger, sale: sale_id("drop") };
    drop.take(with_coupon("plant~w1~bob", accept("bob~1", &[("a", 1)]))).await;
}

/// G4: the cap is exact: neither one more nor one less, in one batch or over several.
pub async fn never_more_coupons_than_the_cap(fixture: &impl Ledgers) {
    let window = opened(fixture, &sale("plant:w1", &[("coupon", 10, 0, 1)])).await;
    let mut issued = 0;
    for batch in 0..3 {
        let claims: Vec<Accept> =
            (0..6).map(|n| claim("c", coupon(&format!("plant~w1~m{batch}-{n}"), Timestamp::FAR))).collect();
        let answers = window.batch(&claims).await.answers;
        issued += answers.iter().filter(|answer| word(answer) == "confirmed").count();
    }
    assert_eq!(issued, 10);
    assert_eq!(window.allocated("coupon").await, 10);
}

/// G4: another key, the same member: one coupon, whether in one batch or later.
pub async fn never_two_coupons_to_one_member(fixture: &impl Ledgers) {
    let window = opened(fixture, &sale("plant:w1", &[("coupon", 10, 0, 1)])).await;
    let mine = || coupon(MINE, Timestamp::FAR);
    let answers = window.batch(&[claim("c1", mine()), claim("c2", mine())]).await.answers;
    assert_eq!(words(&answers), ["confirmed", "refused"]);
    assert_eq!(window.refusal(claim("c3", mine())).await, Reason::BuyerLimit);
    assert_eq!(window.allocated("coupon").await, 1);
}

/// I5: the row's name is a tripwire: a batch that would write it twice is refused as a whole and leaves nothing.
pub async fn a_second_row_for_a_coupon_is_bad_data(fixture: &impl Ledgers) {
    let window = opened(fixture, &sale("plant:w1", &[("coupon", 10, 0, 5)])).await;
    window.take(claim("c1", coupon(MINE, Timestamp::FAR))).await;
    let before = window.version().await;
    let other = Accept { id: order("bob~x"), then: Then::Keep, ..claim("c2", coupon(MINE, Timestamp::FAR)) };
    let twice = [other, claim("c3", coupon(MINE, Timestamp::FAR))];
    let error = window.ledger.accept(&window.sale, &twice).await.expect_err("a second row");
    assert_eq!(error.kind(), ErrorKind::Data);
    assert_eq!((window.allocated("coupon").await, window.version().await), (1, before));
    assert_eq!(window.state("bob~x").await, None, "nothing of the batch is there");
}
