//! Trading: the buyer pays less with a coupon, the seller gets all of it, the platform funds the difference; once.

use std::time::Duration;

use flashsale_core::Money;
use flashsale_core::coupon::{CouponLedger, CouponRefusal};
use flashsale_core::payment::{EntryKind, WalletAct, WalletLedger, WalletRefusal};
use flashsale_core::stock::StockLedger;

use super::{Wallets, ask, balance, charge, movements, put, request, sum, trade};
use crate::sample::{accept, amount, claim, coupon, sale, sale_id, with_coupon};
use crate::suite::stock_ledger::{Open, opened};

const MINE: &str = "plant~w1~ann";

/// A ledger with a coupon of `ann` and money in her wallet.
async fn with_plant<F: Wallets>(fixture: &F, money: u64, valid: Duration) -> F::Port {
    let window = opened(fixture, &sale("plant:w1", &[("coupon", 9, 0, 1)])).await;
    let now = window.ledger.totals(&window.sale).await.expect("totals").expect("a sale").now;
    window.take(claim("c", coupon(MINE, now.after(valid)))).await;
    put(&window.ledger, "ann", money).await;
    window.ledger
}

async fn used_by<P: CouponLedger>(ledger: &P, name: &str) -> Option<String> {
    let id = flashsale_core::CouponId::new(name).expect("a coupon's name");
    let row = ledger.coupons(&[id]).await.expect("coupons").remove(0).expect("the row is there");
    row.used_by.map(|order| order.to_string())
}

const LONG: Duration = Duration::from_secs(86_400);

/// Scenario `wallet-idem`: 20,000 and 0 become 10,000 and 10,000.
pub async fn a_trade_moves_the_whole_amount(fixture: &impl Wallets) {
    let ledger = fixture.fresh().await;
    put(&ledger, "ann", 20_000).await;
    let done = ask(&ledger, "ann", "t", trade("bob", 10_000, None)).await.expect("traded");
    assert_eq!((done.balance, done.split.buyer_pays), (amount(10_000), amount(10_000)));
    assert_eq!((done.split.seller_gets, done.split.funded), (amount(10_000), Money::ZERO));
    assert_eq!((balance(&ledger, "ann").await, balance(&ledger, "bob").await), (10_000, 10_000));
    assert_eq!(movements(&ledger, "bob").await, [(EntryKind::Received, 10_000)]);
    assert!(movements(&ledger, "platform").await.is_empty());
}

/// Scenario `wallet-coupon`: the buyer pays 7,000, the seller gets 10,000, the platform funds 3,000.
pub async fn with_a_coupon_the_platform_pays_the_difference(fixture: &impl Wallets) {
    let ledger = with_plant(fixture, 10_000, LONG).await;
    let done = ask(&ledger, "ann", "t", trade("bob", 10_000, Some(MINE))).await.expect("traded");
    assert_eq!((done.split.buyer_pays, done.split.seller_gets), (amount(7_000), amount(10_000)));
    assert_eq!((done.split.funded, done.balance), (amount(3_000), amount(3_000)));
    assert_eq!((balance(&ledger, "ann").await, balance(&ledger, "bob").await), (3_000, 10_000));
    assert_eq!(movements(&ledger, "platform").await, [(EntryKind::Funded, -3_000)]);
    assert_eq!(used_by(&ledger, MINE).await.as_deref(), Some("ann~wallet~t"));
}

/// G9: a repeat moves nothing; its coupon, used by itself, is no reason to refuse it.
pub async fn a_trade_is_made_once_per_key(fixture: &impl Wallets) {
    let ledger = with_plant(fixture, 20_000, LONG).await;
    let batch = vec![request("ann", "t", trade("bob", 10_000, Some(MINE))); 50];
    let all = crate::together((0..4).map(|_| ledger.wallet(&batch))).await;
    for answer in all.into_iter().flat_map(|answers| answers.expect("wallet")) {
        assert_eq!(answer.expect("traded").balance, amount(13_000));
    }
    assert_eq!((balance(&ledger, "ann").await, balance(&ledger, "bob").await), (13_000, 10_000));
}

/// G4: used once, also by two trades of one batch.
pub async fn a_coupon_is_used_by_one_trade(fixture: &impl Wallets) {
    let ledger = with_plant(fixture, 50_000, LONG).await;
    let batch = ["t1", "t2"].map(|name| request("ann", name, trade("bob", 10_000, Some(MINE))));
    let answers = ledger.wallet(&batch).await.expect("wallet");
    assert!(answers[0].is_ok());
    assert_eq!(answers[1], Err(WalletRefusal::Coupon(CouponRefusal::Used)));
    let later = ask(&ledger, "ann", "t3", trade("bob", 10_000, Some(MINE))).await;
    assert_eq!(later, Err(WalletRefusal::Coupon(CouponRefusal::Used)));
    assert_eq!(balance(&ledger, "bob").await, 10_000);
}

/// G4: orders and trades see each other's use.
pub async fn a_coupon_used_by_an_order_is_refused(fixture: &impl Wallets) {
    let ledger = with_plant(fixture, 50_000, LONG).await;
    ledger.open(&sale("drop", &[("a", 9, 10_000, 9)])).await.expect("open").expect("new");
    let drop = Open { ledger, sale: sale_id("drop") };
    drop.take(with_coupon(MINE, accept("ann~1", &[("a", 1)]))).await;
    let refused = ask(&drop.ledger, "ann", "t1", trade("bob", 10_000, Some(MINE))).await;
    assert_eq!(refused, Err(WalletRefusal::Coupon(CouponRefusal::Used)));
    drop.cancel("ann~1").await;
    ask(&drop.ledger, "ann", "t1", trade("bob", 10_000, Some(MINE))).await.expect("traded");
    drop.refusal(with_coupon(MINE, accept("ann~2", &[("a", 1)]))).await;
    drop.cancel("ann~1").await;
    assert_eq!(used_by(&drop.ledger, MINE).await.as_deref(), Some("ann~wallet~t1"));
    assert_eq!(drop.state("ann~1").await.map(|state| state.code()), Some("cancelled"));
}

/// A trade that fails for another reason uses nothing up.
pub async fn a_refused_trade_leaves_the_coupon_unused(fixture: &impl Wallets) {
    let ledger = with_plant(fixture, 6_999, LONG).await;
    let poor = ask(&ledger, "ann", "t1", trade("bob", 10_000, Some(MINE))).await;
    assert_eq!(poor, Err(WalletRefusal::Insufficient));
    assert_eq!(used_by(&ledger, MINE).await, None);
    assert_eq!((balance(&ledger, "ann").await, balance(&ledger, "bob").await), (6_999, 0));
    ask(&ledger, "ann", "c", charge(1)).await.expect("charged");
    ask(&ledger, "ann", "t1", trade("bob", 10_000, Some(MINE))).await.expect("traded");
}

/// The coupon's own rule: somebody else's, unknown, below the minimum, expired; the way to pay is the wallet.
pub async fn a_coupon_is_refused_for_the_reasons_of_an_order(fixture: &impl Wallets) {
    let ledger = with_plant(fixture, 50_000, Duration::from_secs(10)).await;
    put(&ledger, "bob", 50_000).await;
    let refused = |why| Err(WalletRefusal::Coupon(why));
    let of = |coupon| trade("cid", 10_000, Some(coupon));
    assert_eq!(ask(&ledger, "bob", "t1", of(MINE)).await, refused(CouponRefusal::NotYours));
    assert_eq!(ask(&ledger, "ann", "t2", of("plant~w9~ann")).await, refused(CouponRefusal::NotYours));
    let small = ask(&ledger, "ann", "t3", trade("cid", 9_999, Some(MINE))).await;
    assert_eq!(small, refused(CouponRefusal::BelowMinimum));
    fixture.advance(Duration::from_secs(10)).await;
    assert_eq!(ask(&ledger, "ann", "t4", of(MINE)).await, refused(CouponRefusal::Expired));
    assert_eq!(balance(&ledger, "cid").await, 0);
}

/// Buyer and seller are two.
pub async fn nobody_trades_with_himself(fixture: &impl Wallets) {
    let ledger = fixture.fresh().await;
    put(&ledger, "ann", 500).await;
    assert_eq!(ask(&ledger, "ann", "t", trade("ann", 5, None)).await, Err(WalletRefusal::SameMember));
    assert_eq!(movements(&ledger, "ann").await.len(), 1);
}

/// An amount is at least 1.
pub async fn a_trade_of_nothing_is_refused(fixture: &impl Wallets) {
    let ledger = fixture.fresh().await;
    assert_eq!(ask(&ledger, "ann", "t", trade("bob", 0, None)).await, Err(WalletRefusal::Zero));
    assert_eq!(ask(&ledger, "ann", "t", trade("ann", 0, None)).await, Err(WalletRefusal::Zero), "told first");
}

/// With a coupon, 7,000 suffice for 10,000; the platform need not have anything.
pub async fn only_what_the_buyer_pays_must_be_there(fixture: &impl Wallets) {
    let ledger = with_plant(fixture, 7_000, LONG).await;
    ask(&ledger, "ann", "t", trade("bob", 10_000, Some(MINE))).await.expect("traded");
    assert_eq!((balance(&ledger, "ann").await, balance(&ledger, "bob").await), (0, 10_000));
    assert_eq!(ask(&ledger, "ann", "t2", trade("bob", 1, None)).await, Err(WalletRefusal::Insufficient));
}

/// No sum wraps on the other side either.
pub async fn a_seller_takes_no_more_than_he_can_hold(fixture: &impl Wallets) {
    let ledger = fixture.fresh().await;
    put(&ledger, "ann", 10).await;
    ask(&ledger, "bob", "k", WalletAct::Charge { amount: Money::MAX }).await.expect("charged");
    assert_eq!(ask(&ledger, "ann", "t", trade("bob", 1, None)).await, Err(WalletRefusal::TooMuch));
    assert_eq!(balance(&ledger, "ann").await, 10);
}

/// Precedence: coupon, then money.
pub async fn the_coupon_is_told_before_the_money(fixture: &impl Wallets) {
    let ledger = fixture.fresh().await;
    let both = ask(&ledger, "ann", "t", trade("bob", 10_000, Some(MINE))).await;
    assert_eq!(both, Err(WalletRefusal::Coupon(CouponRefusal::NotYours)));
}

/// I6: what was put in, less what was taken out, is what all accounts have together.
pub async fn trades_neither_make_nor_lose_money(fixture: &impl Wallets) {
    let ledger = with_plant(fixture, 30_000, LONG).await;
    put(&ledger, "bob", 5_000).await;
    let batch = [
        request("ann", "t1", trade("bob", 12_345, Some(MINE))),
        request("bob", "t2", trade("cid", 17_345, None)),
        request("bob", "t3", trade("cid", 1, None)),
        request("cid", "t4", trade("ann", 17_000, None)),
        request("ann", "t5", trade("cid", 11_000, Some(MINE))),
    ];
    ledger.wallet(&batch).await.expect("wallet");
    assert_eq!(sum(&ledger, &["ann", "bob", "cid", "platform"]).await, 35_000);
    for member in ["ann", "bob", "cid"] {
        let moved: i64 = movements(&ledger, member).await.iter().map(|(_, amount)| amount).sum();
        assert_eq!(u64::try_from(moved), Ok(balance(&ledger, member).await), "{member}");
    }
}
