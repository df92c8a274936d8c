//! Paying orders from wallets: once per key, fenced or paid but not both, given back once (holes 26, 27; I6).

use flashsale_core::error::ErrorKind;
use flashsale_core::payment::{Capture, DeclineReason, EntryKind, Fenced, Outcome, PaymentKey, WalletLedger};

use super::{Wallets, approved, balance, movements, pay, payment_key, put, sum, to_pay};
use crate::sample::{amount, buyer, wallet};

const SHOP: &str = "shop";

fn capture(id: &str, gets: u64, funded: u64) -> Capture {
    Capture { key: payment_key(id, 1), seller_gets: amount(gets), funded: amount(funded) }
}

async fn settle<P: WalletLedger>(ledger: &P, batch: &[Capture]) {
    ledger.settle(&buyer(SHOP), batch).await.expect("settle");
}

async fn fence<P: WalletLedger>(ledger: &P, id: &str) -> Fenced {
    ledger.fence(&[payment_key(id, 1)]).await.expect("fence").remove(0)
}

const REFUSED: Outcome = Outcome::Declined(DeclineReason::Refused);
const POOR: Outcome = Outcome::Declined(DeclineReason::Insufficient);

/// The money leaves the buyer's wallet with the approval.
pub async fn paying_takes_the_money_of_the_buyer(fixture: &impl Wallets) {
    let ledger = fixture.fresh().await;
    put(&ledger, "ann", 1_000).await;
    assert!(approved(&pay(&ledger, to_pay("ann~1", 300)).await, 300));
    assert_eq!(balance(&ledger, "ann").await, 700);
    assert_eq!(movements(&ledger, "ann").await[1], (EntryKind::Paid, -300));
    assert!(approved(&pay(&ledger, to_pay("ann~2", 700)).await, 700), "to the last won");
}

/// G9: the key is fixed: a repeat gets the same answer, reference and all, and takes nothing.
pub async fn the_same_key_is_paid_once(fixture: &impl Wallets) {
    let ledger = fixture.fresh().await;
    put(&ledger, "ann", 1_000).await;
    let first = pay(&ledger, to_pay("ann~1", 300)).await;
    let again = crate::together((0..6).map(|_| pay(&ledger, to_pay("ann~1", 300)))).await;
    assert!(again.iter().all(|outcome| *outcome == first));
    assert_eq!(balance(&ledger, "ann").await, 700);
}

/// Hole 13, for payments.
pub async fn the_same_key_twice_in_one_batch_is_paid_once(fixture: &impl Wallets) {
    let ledger = fixture.fresh().await;
    put(&ledger, "ann", 1_000).await;
    let outcomes = ledger.pay(&[to_pay("ann~1", 300), to_pay("ann~1", 300)]).await.expect("pay");
    assert_eq!(outcomes[0], outcomes[1]);
    assert_eq!(balance(&ledger, "ann").await, 700);
}

/// The method leads to the provider; it is no part of the key's name.
pub async fn how_it_is_paid_is_no_part_of_the_key(fixture: &impl Wallets) {
    let ledger = fixture.fresh().await;
    put(&ledger, "ann", 1_000).await;
    let first = pay(&ledger, to_pay("ann~1", 300)).await;
    let by_wallet = PaymentKey { method: Some(wallet()), ..payment_key("ann~1", 1) };
    let again = pay(&ledger, flashsale_core::payment::Charge { key: by_wallet.clone(), ..to_pay("ann~1", 300) }).await;
    assert_eq!(again, first);
    assert_eq!(ledger.paid(&[by_wallet]).await.expect("paid"), [Some(first)]);
    assert_eq!(balance(&ledger, "ann").await, 700);
}

/// A second attempt to pay the same order is another key.
pub async fn attempts_have_keys_of_their_own(fixture: &impl Wallets) {
    let ledger = fixture.fresh().await;
    put(&ledger, "ann", 1_000).await;
    assert_eq!(fence(&ledger, "ann~1").await, Fenced::Cancelled);
    let second = flashsale_core::payment::Charge { key: payment_key("ann~1", 2), ..to_pay("ann~1", 300) };
    assert!(approved(&pay(&ledger, second).await, 300));
    assert_eq!(pay(&ledger, to_pay("ann~1", 300)).await, REFUSED);
}

/// A declined key stays declined, also when there is money later.
pub async fn too_little_money_is_declined_for_good(fixture: &impl Wallets) {
    let ledger = fixture.fresh().await;
    assert_eq!(pay(&ledger, to_pay("ann~1", 300)).await, POOR);
    put(&ledger, "ann", 1_000).await;
    assert_eq!(pay(&ledger, to_pay("ann~1", 300)).await, POOR);
    assert_eq!(ledger.paid(&[payment_key("ann~1", 1)]).await.expect("paid"), [Some(POOR)]);
    assert_eq!(balance(&ledger, "ann").await, 1_000);
}

/// Two orders of one buyer in one batch see each other.
pub async fn a_batch_pays_with_running_balances(fixture: &impl Wallets) {
    let ledger = fixture.fresh().await;
    put(&ledger, "ann", 500).await;
    let batch = [to_pay("ann~1", 300), to_pay("ann~2", 300), to_pay("ann~3", 200), to_pay("ann~4", 1)];
    let outcomes = ledger.pay(&batch).await.expect("pay");
    let told: Vec<bool> = outcomes.iter().map(|outcome| matches!(outcome, Outcome::Approved { .. })).collect();
    assert_eq!(told, [true, false, true, false]);
    assert_eq!(balance(&ledger, "ann").await, 0);
}

/// Hole 26: the fence comes first, the charge lands late: nothing is taken, now or ever.
pub async fn a_fenced_key_is_declined(fixture: &impl Wallets) {
    let ledger = fixture.fresh().await;
    put(&ledger, "ann", 1_000).await;
    assert_eq!(fence(&ledger, "ann~1").await, Fenced::Cancelled);
    assert_eq!(fence(&ledger, "ann~1").await, Fenced::Cancelled);
    for _ in 0..2 {
        assert_eq!(pay(&ledger, to_pay("ann~1", 300)).await, REFUSED);
    }
    assert_eq!(ledger.paid(&[payment_key("ann~1", 1)]).await.expect("paid"), [Some(REFUSED)]);
    assert_eq!(balance(&ledger, "ann").await, 1_000);
}

/// Hole 26: the charge came first: the fence says so, every time.
pub async fn a_paid_key_cannot_be_fenced(fixture: &impl Wallets) {
    let ledger = fixture.fresh().await;
    put(&ledger, "ann", 1_000).await;
    let Outcome::Approved { amount, reference } = pay(&ledger, to_pay("ann~1", 300)).await else { panic!("declined") };
    for _ in 0..2 {
        let fenced = fence(&ledger, "ann~1").await;
        assert_eq!(fenced, Fenced::Approved { amount, reference: reference.clone() });
    }
    assert!(approved(&pay(&ledger, to_pay("ann~1", 300)).await, 300));
}

/// Nothing was charged under a declined key, and nothing ever will be.
pub async fn a_declined_key_stays_declined_when_fenced(fixture: &impl Wallets) {
    let ledger = fixture.fresh().await;
    assert_eq!(pay(&ledger, to_pay("ann~1", 300)).await, POOR);
    assert_eq!(fence(&ledger, "ann~1").await, Fenced::Cancelled);
    put(&ledger, "ann", 1_000).await;
    assert_eq!(pay(&ledger, to_pay("ann~1", 300)).await, POOR);
}

/// One answer per key, at its place; a look-up writes nothing.
pub async fn a_key_that_nobody_knows_is_none(fixture: &impl Wallets) {
    let ledger = fixture.fresh().await;
    put(&ledger, "ann", 1_000).await;
    let first = pay(&ledger, to_pay("ann~1", 300)).await;
    let asked = [payment_key("ann~2", 1), payment_key("ann~1", 1), payment_key("ann~1", 2)];
    assert_eq!(ledger.paid(&asked).await.expect("paid"), [None, Some(first), None]);
    assert!(approved(&pay(&ledger, to_pay("ann~2", 300)).await, 300));
}

/// Captured once, however often it is asked for, in a batch or over several.
pub async fn a_seller_is_paid_once_per_key(fixture: &impl Wallets) {
    let ledger = fixture.fresh().await;
    put(&ledger, "ann", 1_000).await;
    pay(&ledger, to_pay("ann~1", 300)).await;
    pay(&ledger, to_pay("ann~2", 200)).await;
    assert_eq!(balance(&ledger, SHOP).await, 0, "approved is not captured");
    let both = [capture("ann~1", 300, 0), capture("ann~2", 200, 0), capture("ann~1", 300, 0)];
    settle(&ledger, &both).await;
    settle(&ledger, &both).await;
    assert_eq!(balance(&ledger, SHOP).await, 500);
    assert_eq!(movements(&ledger, SHOP).await, [(EntryKind::Received, 300), (EntryKind::Received, 200)]);
}

/// The seller gets the undiscounted price, the platform pays what the coupon took off.
pub async fn the_platform_pays_what_the_coupon_took_off(fixture: &impl Wallets) {
    let ledger = fixture.fresh().await;
    put(&ledger, "ann", 7_000).await;
    pay(&ledger, to_pay("ann~1", 7_000)).await;
    settle(&ledger, &[capture("ann~1", 10_000, 3_000)]).await;
    assert_eq!(balance(&ledger, SHOP).await, 10_000);
    assert_eq!(movements(&ledger, "platform").await, [(EntryKind::Funded, -3_000)]);
    assert_eq!(sum(&ledger, &["ann", SHOP, "platform"]).await, 7_000);
}

/// Nobody is paid from money that nobody gave; nothing of such a batch is done.
pub async fn what_was_never_approved_is_not_settled(fixture: &impl Wallets) {
    let ledger = fixture.fresh().await;
    put(&ledger, "ann", 1_000).await;
    pay(&ledger, to_pay("ann~1", 300)).await;
    pay(&ledger, to_pay("bob~1", 300)).await;
    fence(&ledger, "cid~1").await;
    for bad in ["bob~1", "cid~1", "dan~1"] {
        let batch = [capture("ann~1", 300, 0), capture(bad, 300, 0)];
        let error = ledger.settle(&buyer(SHOP), &batch).await.expect_err("never approved");
        assert_eq!(error.kind(), ErrorKind::Data, "{bad}");
    }
    assert_eq!(balance(&ledger, SHOP).await, 0);
    settle(&ledger, &[capture("ann~1", 300, 0)]).await;
}

/// G9: a refund is repeated until it is certain, and moves money once.
pub async fn money_is_given_back_once(fixture: &impl Wallets) {
    let ledger = fixture.fresh().await;
    put(&ledger, "ann", 1_000).await;
    pay(&ledger, to_pay("ann~1", 300)).await;
    let key = payment_key("ann~1", 1);
    ledger.give_back(&[key.clone(), key.clone()]).await.expect("give back");
    ledger.give_back(&[key]).await.expect("give back");
    assert_eq!(balance(&ledger, "ann").await, 1_000);
    assert_eq!(movements(&ledger, "ann").await[2..], [(EntryKind::Refunded, 300)]);
    pay(&ledger, to_pay("ann~1", 300)).await;
    assert_eq!(balance(&ledger, "ann").await, 1_000, "a late repeat of the charge takes nothing");
}

/// I6: a capture that is late finds the money gone back, and pays nobody.
pub async fn money_given_back_is_not_paid_to_the_seller(fixture: &impl Wallets) {
    let ledger = fixture.fresh().await;
    put(&ledger, "ann", 1_000).await;
    pay(&ledger, to_pay("ann~1", 300)).await;
    ledger.give_back(&[payment_key("ann~1", 1)]).await.expect("give back");
    settle(&ledger, &[capture("ann~1", 300, 0)]).await;
    assert_eq!((balance(&ledger, "ann").await, balance(&ledger, SHOP).await), (1_000, 0));
}

/// I6: a returned order: the seller's money goes back where it came from, the platform's too.
pub async fn money_of_a_paid_seller_comes_back_from_him(fixture: &impl Wallets) {
    let ledger = fixture.fresh().await;
    put(&ledger, "ann", 7_000).await;
    pay(&ledger, to_pay("ann~1", 7_000)).await;
    settle(&ledger, &[capture("ann~1", 10_000, 3_000)]).await;
    ledger.give_back(&[payment_key("ann~1", 1)]).await.expect("give back");
    assert_eq!((balance(&ledger, "ann").await, balance(&ledger, SHOP).await), (7_000, 0));
    assert_eq!(sum(&ledger, &["platform"]).await, 0);
}

/// What was never approved cannot come back.
pub async fn giving_back_an_unknown_key_moves_nothing(fixture: &impl Wallets) {
    let ledger = fixture.fresh().await;
    pay(&ledger, to_pay("bob~1", 300)).await;
    fence(&ledger, "cid~1").await;
    let keys = ["ann~1", "bob~1", "cid~1"].map(|id| payment_key(id, 1));
    ledger.give_back(&keys).await.expect("give back");
    for member in ["ann", "bob", "cid"] {
        assert!(movements(&ledger, member).await.is_empty(), "{member}");
    }
}

/// I6: over all ways that a payment can go.
pub async fn payments_neither_make_nor_lose_money(fixture: &impl Wallets) {
    let ledger = fixture.fresh().await;
    put(&ledger, "ann", 10_000).await;
    let ids = ["ann~1", "ann~2", "ann~3", "ann~4", "ann~5"];
    let charges: Vec<_> = ids.iter().map(|id| to_pay(id, 1_000)).collect();
    ledger.pay(&charges).await.expect("pay");
    settle(&ledger, &[capture("ann~1", 1_500, 500), capture("ann~2", 1_000, 0), capture("ann~3", 1_200, 200)]).await;
    let back = ["ann~2", "ann~3", "ann~4"].map(|id| payment_key(id, 1));
    ledger.give_back(&back).await.expect("give back");
    let waiting = 1_000;
    assert_eq!(sum(&ledger, &["ann", SHOP, "platform"]).await + waiting, 10_000);
    assert_eq!((balance(&ledger, "ann").await, balance(&ledger, SHOP).await), (8_000, 1_500));
    assert_eq!(sum(&ledger, &["platform"]).await, -500);
}

/// Hole 26: charge and fence at the same moment: both answers tell the same story.
pub async fn paying_and_fencing_at_once_agree(fixture: &impl Wallets) {
    let ledger = fixture.fresh().await;
    put(&ledger, "ann", 1_000).await;
    let ids: Vec<String> = (0..6).map(|n| format!("ann~{n}")).collect();
    let pays = crate::together(ids.iter().map(|id| pay(&ledger, to_pay(id, 100))));
    let fences = crate::together(ids.iter().map(|id| fence(&ledger, id)));
    let (paid, fenced) = tokio::join!(pays, fences);
    let mut taken = 0;
    for (paid, fenced) in paid.iter().zip(&fenced) {
        match (paid, fenced) {
            (Outcome::Approved { .. }, Fenced::Approved { .. }) => taken += 100,
            (Outcome::Declined(DeclineReason::Refused), Fenced::Cancelled) => {}
            other => panic!("two stories: {other:?}"),
        }
    }
    assert_eq!(balance(&ledger, "ann").await, 1_000 - taken);
}
