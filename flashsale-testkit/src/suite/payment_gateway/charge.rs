//! Charging, looking up, fencing, capturing, refunding (holes 26, 27).

use flashsale_core::payment::{Capture, Charge, DeclineReason, Fenced, Moved, Outcome, PaymentGateway};

use super::Gateways;
use crate::sample::amount;
use crate::suite::wallet_ledger::{approved, payment_key, to_pay};

async fn authorize<P: PaymentGateway>(gateway: &P, charge: &Charge) -> Outcome {
    gateway.authorize(charge).await.expect("authorize")
}

/// The approval names the amount that was asked for.
pub async fn a_charge_is_approved_for_its_amount(fixture: &impl Gateways) {
    let gateway = fixture.fresh().await;
    assert!(approved(&authorize(&gateway, &to_pay("ann~1", 300)).await, 300));
}

/// G9: the provider does it once; the repeat has the first one's reference.
pub async fn the_same_key_gets_the_same_answer(fixture: &impl Gateways) {
    let gateway = fixture.fresh().await;
    let charge = to_pay("ann~1", 9_000);
    let first = authorize(&gateway, &charge).await;
    for again in crate::together((0..5).map(|_| authorize(&gateway, &charge))).await {
        assert_eq!(again, first);
    }
}

/// After a lost answer, the look-up has it.
pub async fn a_lookup_tells_what_became_of_a_key(fixture: &impl Gateways) {
    let gateway = fixture.fresh().await;
    let charge = to_pay("ann~1", 300);
    let outcome = authorize(&gateway, &charge).await;
    assert_eq!(gateway.lookup(&charge.key).await.expect("lookup"), Some(outcome));
}

/// Hole 26: nothing is known and nothing is fenced: a charge that lands later is taken.
pub async fn a_lookup_of_an_unknown_key_proves_nothing(fixture: &impl Gateways) {
    let gateway = fixture.fresh().await;
    let charge = to_pay("ann~1", 300);
    assert_eq!(gateway.lookup(&charge.key).await.expect("lookup"), None);
    assert!(approved(&authorize(&gateway, &charge).await, 300));
}

/// Hole 26: the fence comes first, the charge lands late.
pub async fn a_fenced_key_is_never_charged(fixture: &impl Gateways) {
    let gateway = fixture.fresh().await;
    let charge = to_pay("ann~1", 300);
    assert_eq!(gateway.cancel(&charge.key).await.expect("cancel"), Fenced::Cancelled);
    for _ in 0..2 {
        assert_eq!(authorize(&gateway, &charge).await, Outcome::Declined(DeclineReason::Refused));
    }
    let told = gateway.lookup(&charge.key).await.expect("lookup");
    assert!(!told.is_some_and(|outcome| matches!(outcome, Outcome::Approved { .. })));
}

/// The saga asks until it knows.
pub async fn fencing_again_changes_nothing(fixture: &impl Gateways) {
    let gateway = fixture.fresh().await;
    let key = payment_key("ann~1", 1);
    for _ in 0..3 {
        assert_eq!(gateway.cancel(&key).await.expect("cancel"), Fenced::Cancelled);
    }
}

/// Hole 27: the charge came first, and the fence says so.
pub async fn an_approved_key_cannot_be_fenced(fixture: &impl Gateways) {
    let gateway = fixture.fresh().await;
    let charge = to_pay("ann~1", 300);
    let first = authorize(&gateway, &charge).await;
    for _ in 0..2 {
        let Fenced::Approved { amount: paid, .. } = gateway.cancel(&charge.key).await.expect("cancel") else {
            panic!("fenced after the approval");
        };
        assert_eq!(paid, amount(300));
    }
    assert_eq!(authorize(&gateway, &charge).await, first);
}

/// Another order, and another attempt, are other keys.
pub async fn keys_have_nothing_to_do_with_each_other(fixture: &impl Gateways) {
    let gateway = fixture.fresh().await;
    gateway.cancel(&payment_key("ann~1", 1)).await.expect("cancel");
    let second = Charge { key: payment_key("ann~1", 2), ..to_pay("ann~1", 300) };
    assert!(approved(&authorize(&gateway, &second).await, 300));
    assert!(approved(&authorize(&gateway, &to_pay("ann~2", 200)).await, 200));
}

/// A capture whose answer was lost is asked for again.
pub async fn a_capture_may_be_repeated(fixture: &impl Gateways) {
    let gateway = fixture.fresh().await;
    let charge = to_pay("ann~1", 300);
    authorize(&gateway, &charge).await;
    let capture = Capture { key: charge.key, seller_gets: amount(300), funded: amount(0) };
    for _ in 0..2 {
        assert_eq!(gateway.capture(&capture).await.expect("capture"), Moved::Done);
    }
}

/// A refund whose answer was lost is asked for again; a late repeat of the charge does not charge anew.
pub async fn a_refund_may_be_repeated(fixture: &impl Gateways) {
    let gateway = fixture.fresh().await;
    let charge = to_pay("ann~1", 9_000);
    let first = authorize(&gateway, &charge).await;
    for _ in 0..2 {
        assert_eq!(gateway.refund(&charge.key).await.expect("refund"), Moved::Done);
    }
    assert_eq!(authorize(&gateway, &charge).await, first);
    assert!(approved(&authorize(&gateway, &to_pay("ann~2", 9_000)).await, 9_000), "the money is back");
}

/// Hole 26: at the same moment: both answers tell the same story.
pub async fn charging_and_fencing_at_once_agree(fixture: &impl Gateways) {
    let gateway = fixture.fresh().await;
    let charges: Vec<Charge> = (0..6).map(|n| to_pay(&format!("ann~{n}"), 100)).collect();
    let pays = crate::together(charges.iter().map(|charge| authorize(&gateway, charge)));
    let fences = crate::together(charges.iter().map(|charge| gateway.cancel(&charge.key)));
    let (paid, fenced) = tokio::join!(pays, fences);
    for (paid, fenced) in paid.iter().zip(fenced) {
        let fenced = fenced.expect("cancel");
        let agree = matches!(paid, Outcome::Approved { .. }) == matches!(fenced, Fenced::Approved { .. });
        assert!(agree, "two stories: {paid:?}, {fenced:?}");
    }
}
