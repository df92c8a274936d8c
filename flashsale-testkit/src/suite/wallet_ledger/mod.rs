//! The rules of [`WalletLedger`]: money moves once per request or key, and is neither made
//! nor lost (G4, G9; I6).

pub mod account;
pub mod payment;
pub mod trade;

use flashsale_core::coupon::CouponLedger;
use flashsale_core::payment::{
    Charge, EntryKind, Outcome, PaymentKey, WalletAct, WalletDone, WalletLedger, WalletRefusal, WalletRequest,
};
use flashsale_core::stock::StockLedger;
use flashsale_core::{CouponId, Timestamp};

use crate::Fixture;
use crate::sample::{amount, buyer, key, order};
use crate::suite::suite;

suite! {
    $
    /// Makes a test of each rule of a wallet's ledger: `wallet_ledger_suite!(fixture)`.
    wallet_ledger_suite = wallet_ledger {
        account:
            money_put_in_is_there
            money_taken_out_is_gone
            a_request_is_made_once_per_key
            a_thousand_repeats_are_one_charge
            the_same_key_twice_in_one_batch_is_one_charge
            the_same_key_for_something_else_is_a_conflict
            a_key_belongs_to_its_member
            nothing_is_no_amount
            a_wallet_is_never_overdrawn
            a_wallet_holds_no_more_than_it_can
            a_batch_is_done_in_order_with_running_balances
            a_refusal_is_not_recorded
            a_conflict_is_told_before_any_other_refusal
            entries_tell_every_movement_latest_first
            entries_are_paged_by_number
            a_member_without_a_wallet_has_nothing;
        trade:
            a_trade_moves_the_whole_amount
            with_a_coupon_the_platform_pays_the_difference
            a_trade_is_made_once_per_key
            a_coupon_is_used_by_one_trade
            a_coupon_used_by_an_order_is_refused
            a_refused_trade_leaves_the_coupon_unused
            a_coupon_is_refused_for_the_reasons_of_an_order
            nobody_trades_with_himself
            a_trade_of_nothing_is_refused
            only_what_the_buyer_pays_must_be_there
            a_seller_takes_no_more_than_he_can_hold
            the_coupon_is_told_before_the_money
            trades_neither_make_nor_lose_money;
        payment:
            paying_takes_the_money_of_the_buyer
            the_same_key_is_paid_once
            the_same_key_twice_in_one_batch_is_paid_once
            how_it_is_paid_is_no_part_of_the_key
            attempts_have_keys_of_their_own
            too_little_money_is_declined_for_good
            a_batch_pays_with_running_balances
            a_fenced_key_is_declined
            a_paid_key_cannot_be_fenced
            a_declined_key_stays_declined_when_fenced
            a_key_that_nobody_knows_is_none
            a_seller_is_paid_once_per_key
            the_platform_pays_what_the_coupon_took_off
            what_was_never_approved_is_not_settled
            money_is_given_back_once
            money_given_back_is_not_paid_to_the_seller
            money_of_a_paid_seller_comes_back_from_him
            giving_back_an_unknown_key_moves_nothing
            payments_neither_make_nor_lose_money
            paying_and_fencing_at_once_agree;
    }
}

/// A fixture of wallet ledgers, with the coupons and the stock of the same database.
pub trait Wallets: Fixture<Port: WalletLedger + StockLedger + CouponLedger> {}
impl<T: Fixture<Port: WalletLedger + StockLedger + CouponLedger>> Wallets for T {}

pub(crate) fn charge(minor: u64) -> WalletAct {
    WalletAct::Charge { amount: amount(minor) }
}

pub(crate) fn withdraw(minor: u64) -> WalletAct {
    WalletAct::Withdraw { amount: amount(minor) }
}

pub(crate) fn trade(seller: &str, minor: u64, coupon: Option<&str>) -> WalletAct {
    let coupon = coupon.map(|name| CouponId::new(name).expect("a coupon's name"));
    WalletAct::Trade { seller: buyer(seller), amount: amount(minor), coupon }
}

pub(crate) fn request(member: &str, name: &str, act: WalletAct) -> WalletRequest {
    WalletRequest::new(&buyer(member), &key(name), act)
}

pub(crate) async fn ask<P: WalletLedger>(
    ledger: &P,
    member: &str,
    name: &str,
    act: WalletAct,
) -> Result<WalletDone, WalletRefusal> {
    ledger.wallet(&[request(member, name, act)]).await.expect("wallet").remove(0)
}

/// Puts money in.
pub(crate) async fn put<P: WalletLedger>(ledger: &P, member: &str, minor: u64) {
    ask(ledger, member, "put", charge(minor)).await.expect("charged");
}

pub(crate) async fn balance<P: WalletLedger>(ledger: &P, member: &str) -> u64 {
    ledger.balance(&buyer(member)).await.expect("balance").minor()
}

/// Kinds and amounts of a member's movements, the first one first.
pub(crate) async fn movements<P: WalletLedger>(ledger: &P, member: &str) -> Vec<(EntryKind, i64)> {
    let entries = ledger.entries(&buyer(member), None, 1_000).await.expect("entries");
    entries.iter().rev().map(|entry| (entry.kind, entry.amount)).collect()
}

/// The sum of all movements of these members: an account in debt is seen as such.
pub(crate) async fn sum<P: WalletLedger>(ledger: &P, members: &[&str]) -> i64 {
    let mut sum = 0;
    for member in members {
        sum += movements(ledger, member).await.iter().map(|(_, amount)| amount).sum::<i64>();
    }
    sum
}

pub(crate) fn payment_key(id: &str, attempt: u32) -> PaymentKey {
    PaymentKey { order: order(id), attempt, method: None }
}

/// Asks for the money of the first attempt to pay an order.
pub(crate) fn to_pay(id: &str, minor: u64) -> Charge {
    let key = payment_key(id, 1);
    Charge { buyer: key.order.buyer(), key, amount: amount(minor), until: Timestamp::FAR }
}

pub(crate) async fn pay<P: WalletLedger>(ledger: &P, charge: Charge) -> Outcome {
    ledger.pay(&[charge]).await.expect("pay").remove(0)
}

pub(crate) fn approved(outcome: &Outcome, minor: u64) -> bool {
    matches!(outcome, Outcome::Approved { amount: paid, .. } if *paid == amount(minor))
}
