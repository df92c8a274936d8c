//! The rules of [`PaymentGateway`]: once per key, fenced or charged but not both.

pub mod charge;

use flashsale_core::payment::PaymentGateway;

use crate::Fixture;
use crate::suite::suite;

suite! {
    $
    /// Makes a test of each rule of a payment gateway: `payment_gateway_suite!(fixture)`.
    ///
    /// The fixture's gateway approves what `ann` is asked to pay, up to 10,000 in all.
    payment_gateway_suite = payment_gateway {
        charge:
            a_charge_is_approved_for_its_amount
            the_same_key_gets_the_same_answer
            a_lookup_tells_what_became_of_a_key
            a_lookup_of_an_unknown_key_proves_nothing
            a_fenced_key_is_never_charged
            fencing_again_changes_nothing
            an_approved_key_cannot_be_fenced
            keys_have_nothing_to_do_with_each_other
            a_capture_may_be_repeated
            a_refund_may_be_repeated
            charging_and_fencing_at_once_agree;
    }
}

/// A fixture of gateways that approve what `ann` is asked to pay.
pub trait Gateways: Fixture<Port: PaymentGateway> {}
impl<T: Fixture<Port: PaymentGateway>> Gateways for T {}
