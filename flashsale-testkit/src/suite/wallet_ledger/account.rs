//! Charging and withdrawing: once per member and key, never below nothing.

use flashsale_core::Money;
use flashsale_core::payment::{EntryKind, Split, WalletAct, WalletLedger, WalletRefusal};

use super::{Wallets, ask, balance, charge, movements, request, trade, withdraw};
use crate::sample::{amount, buyer};

/// The answer tells the balance after it and what moved.
pub async fn money_put_in_is_there(fixture: &impl Wallets) {
    let ledger = fixture.fresh().await;
    let done = ask(&ledger, "ann", "k1", charge(500)).await.expect("charged");
    assert_eq!((done.balance, done.replayed), (amount(500), false));
    assert_eq!(done.split, Split { buyer_pays: amount(500), seller_gets: amount(500), funded: Money::ZERO });
    let done = ask(&ledger, "ann", "k2", charge(250)).await.expect("charged");
    assert_eq!(done.balance, amount(750));
    assert_eq!(balance(&ledger, "ann").await, 750);
}

/// Down to the last won, and not further.
pub async fn money_taken_out_is_gone(fixture: &impl Wallets) {
    let ledger = fixture.fresh().await;
    ask(&ledger, "ann", "k1", charge(500)).await.expect("charged");
    let done = ask(&ledger, "ann", "k2", withdraw(200)).await.expect("withdrawn");
    assert_eq!(done.balance, amount(300));
    ask(&ledger, "ann", "k3", withdraw(300)).await.expect("withdrawn");
    assert_eq!(balance(&ledger, "ann").await, 0);
}

/// G9: a repeat gets the first answer, marked as a repeat; also when the balance is another one by now.
pub async fn a_request_is_made_once_per_key(fixture: &impl Wallets) {
    let ledger = fixture.fresh().await;
    let first = ask(&ledger, "ann", "k1", charge(500)).await.expect("charged");
    ask(&ledger, "ann", "k2", charge(100)).await.expect("charged");
    let again = ask(&ledger, "ann", "k1", charge(500)).await.expect("repeated");
    assert!(again.replayed);
    assert_eq!((again.balance, again.split, again.at), (first.balance, first.split, first.at));
    assert_eq!(balance(&ledger, "ann").await, 600);
    assert_eq!(movements(&ledger, "ann").await.len(), 2);
}

/// Scenario `wallet-idem`: one key, a thousand times, many at the same moment.
pub async fn a_thousand_repeats_are_one_charge(fixture: &impl Wallets) {
    let ledger = fixture.fresh().await;
    let batch = vec![request("ann", "k1", charge(20_000)); 100];
    let all = crate::together((0..10).map(|_| ledger.wallet(&batch))).await;
    let answers: Vec<_> = all.into_iter().flat_map(|answers| answers.expect("wallet")).collect();
    assert_eq!(answers.len(), 1_000);
    let first = answers.iter().filter(|answer| answer.as_ref().is_ok_and(|done| !done.replayed)).count();
    assert_eq!(first, 1);
    assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(|done| done.balance == amount(20_000))));
    assert_eq!(balance(&ledger, "ann").await, 20_000);
}

/// Hole 13, for money.
pub async fn the_same_key_twice_in_one_batch_is_one_charge(fixture: &impl Wallets) {
    let ledger = fixture.fresh().await;
    let batch = [request("ann", "k1", charge(5)), request("ann", "k1", charge(5)), request("ann", "k1", charge(6))];
    let answers = ledger.wallet(&batch).await.expect("wallet");
    assert!(answers[0].as_ref().is_ok_and(|done| !done.replayed));
    assert!(answers[1].as_ref().is_ok_and(|done| done.replayed));
    assert_eq!(answers[2], Err(WalletRefusal::Conflict));
    assert_eq!(balance(&ledger, "ann").await, 5);
}

/// G7, for money: another amount, or another act.
pub async fn the_same_key_for_something_else_is_a_conflict(fixture: &impl Wallets) {
    let ledger = fixture.fresh().await;
    ask(&ledger, "ann", "k1", charge(500)).await.expect("charged");
    for other in [charge(501), withdraw(500), trade("bob", 500, None)] {
        assert_eq!(ask(&ledger, "ann", "k1", other).await, Err(WalletRefusal::Conflict));
    }
    assert_eq!(balance(&ledger, "ann").await, 500);
}

/// Hole 16, for money: another member's key is another request.
pub async fn a_key_belongs_to_its_member(fixture: &impl Wallets) {
    let ledger = fixture.fresh().await;
    for member in ["ann", "bob", "Ann"] {
        let done = ask(&ledger, member, "k1", charge(500)).await.expect("charged");
        assert!(!done.replayed, "{member}");
    }
    assert_eq!(balance(&ledger, "ann").await, 500);
}

/// An amount is at least 1.
pub async fn nothing_is_no_amount(fixture: &impl Wallets) {
    let ledger = fixture.fresh().await;
    for (name, act) in [("k1", charge(0)), ("k2", withdraw(0))] {
        assert_eq!(ask(&ledger, "ann", name, act).await, Err(WalletRefusal::Zero));
    }
    assert!(movements(&ledger, "ann").await.is_empty());
}

/// Nobody takes out what is not there.
pub async fn a_wallet_is_never_overdrawn(fixture: &impl Wallets) {
    let ledger = fixture.fresh().await;
    assert_eq!(ask(&ledger, "ann", "k0", withdraw(1)).await, Err(WalletRefusal::Insufficient));
    ask(&ledger, "ann", "k1", charge(500)).await.expect("charged");
    assert_eq!(ask(&ledger, "ann", "k2", withdraw(501)).await, Err(WalletRefusal::Insufficient));
    let names: Vec<String> = (0..8).map(|n| format!("w{n}")).collect();
    let asks = crate::together(names.iter().map(|name| ask(&ledger, "ann", name, withdraw(200)))).await;
    assert_eq!(asks.iter().filter(|answer| answer.is_ok()).count(), 2, "at the same moment");
    assert_eq!(balance(&ledger, "ann").await, 100);
}

/// No sum wraps: the largest amount fits once.
pub async fn a_wallet_holds_no_more_than_it_can(fixture: &impl Wallets) {
    let ledger = fixture.fresh().await;
    let most = WalletAct::Charge { amount: Money::MAX };
    ask(&ledger, "ann", "k1", most.clone()).await.expect("charged");
    assert_eq!(ask(&ledger, "ann", "k2", charge(1)).await, Err(WalletRefusal::TooMuch));
    assert_eq!(ask(&ledger, "ann", "k3", most).await, Err(WalletRefusal::TooMuch));
    ask(&ledger, "ann", "k4", withdraw(1)).await.expect("withdrawn");
    ask(&ledger, "ann", "k5", charge(1)).await.expect("charged");
    assert_eq!(ledger.balance(&buyer("ann")).await.expect("balance"), Money::MAX);
}

/// Each request of a batch sees what those before it did.
pub async fn a_batch_is_done_in_order_with_running_balances(fixture: &impl Wallets) {
    let ledger = fixture.fresh().await;
    let batch = [
        request("ann", "k1", withdraw(1)),
        request("ann", "k2", charge(100)),
        request("ann", "k3", trade("bob", 60, None)),
        request("ann", "k4", withdraw(50)),
        request("bob", "k5", withdraw(60)),
        request("ann", "k6", withdraw(40)),
    ];
    let answers = ledger.wallet(&batch).await.expect("wallet");
    let short = Err(WalletRefusal::Insufficient);
    let told: Vec<_> = answers.into_iter().map(|answer| answer.map(|done| done.balance.minor())).collect();
    assert_eq!(told, [short, Ok(100), Ok(40), short, Ok(0), Ok(0)]);
}

/// A refusal changes nothing, and the same key may succeed later.
pub async fn a_refusal_is_not_recorded(fixture: &impl Wallets) {
    let ledger = fixture.fresh().await;
    assert_eq!(ask(&ledger, "ann", "k1", withdraw(5)).await, Err(WalletRefusal::Insufficient));
    ask(&ledger, "ann", "k2", charge(10)).await.expect("charged");
    assert!(!ask(&ledger, "ann", "k1", withdraw(5)).await.expect("withdrawn").replayed);
    assert_eq!(balance(&ledger, "ann").await, 5);
}

/// Precedence: conflict first.
pub async fn a_conflict_is_told_before_any_other_refusal(fixture: &impl Wallets) {
    let ledger = fixture.fresh().await;
    ask(&ledger, "ann", "k1", charge(500)).await.expect("charged");
    for other in [charge(0), withdraw(9_999), trade("ann", 5, None)] {
        assert_eq!(ask(&ledger, "ann", "k1", other).await, Err(WalletRefusal::Conflict));
    }
}

/// Each movement is an entry with the balance after it and the name of its cause.
pub async fn entries_tell_every_movement_latest_first(fixture: &impl Wallets) {
    let ledger = fixture.fresh().await;
    ask(&ledger, "ann", "k1", charge(500)).await.expect("charged");
    ask(&ledger, "ann", "k2", withdraw(200)).await.expect("withdrawn");
    ask(&ledger, "ann", "k3", withdraw(900)).await.expect_err("too much");
    let entries = ledger.entries(&buyer("ann"), None, 10).await.expect("entries");
    let told: Vec<_> =
        entries.iter().map(|e| (e.kind, e.amount, e.balance.minor(), e.cause.as_str(), e.member.as_str())).collect();
    let expected = [
        (EntryKind::Withdrawn, -200, 300, "ann~wallet~k2", "ann"),
        (EntryKind::Charged, 500, 500, "ann~wallet~k1", "ann"),
    ];
    assert_eq!(told, expected);
    assert!(entries[0].no > entries[1].no && entries[0].at >= entries[1].at);
}

/// Pages follow each other by number; other members' entries are not among them.
pub async fn entries_are_paged_by_number(fixture: &impl Wallets) {
    let ledger = fixture.fresh().await;
    for n in 1..=7 {
        ask(&ledger, "ann", &format!("k{n}"), charge(n)).await.expect("charged");
        ask(&ledger, "ann-2", &format!("k{n}"), charge(100)).await.expect("charged");
    }
    let (mut seen, mut before) = (Vec::new(), None);
    for _ in 0..4 {
        let page = ledger.entries(&buyer("ann"), before, 3).await.expect("entries");
        assert!(page.len() <= 3);
        seen.extend(page.iter().map(|entry| entry.amount));
        let Some(last) = page.last() else { break };
        before = Some(last.no);
    }
    assert_eq!(seen, [7, 6, 5, 4, 3, 2, 1]);
}

/// Who never had money has none.
pub async fn a_member_without_a_wallet_has_nothing(fixture: &impl Wallets) {
    let ledger = fixture.fresh().await;
    assert_eq!(balance(&ledger, "ann").await, 0);
    assert!(ledger.entries(&buyer("ann"), None, 5).await.expect("entries").is_empty());
    assert!(ledger.wallet(&[]).await.expect("wallet").is_empty());
}
