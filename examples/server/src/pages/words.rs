//! What pages say: words and marks for states, so that no state is told by colour alone; amounts and events for readers.

use flashsale_core::order::{OrderState, Reason};
use flashsale_core::{Event, Fact, Money};

use crate::board::Standing;
use crate::payline::PayPlace;

/// An amount in won, with its thousands apart.
pub(super) fn money(amount: Money) -> String {
    format!("₩{}", count(amount.minor()))
}

/// A number with its thousands apart.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// What may be added to a problem of this status.
pub(super) fn again(status: u16) -> &'static str {
    if status == 503 { " Nothing was promised: press the button again." } else { "" }
}

/// The mark and the words for where a sale stands.
pub(super) fn standing(standing: Standing) -> (&'static str, &'static str) {
    match standing {
        Standing::Scheduled => ("◷", "not open yet"),
        Standing::Open => ("●", "open"),
        Standing::SoldOut => ("■", "sold out"),
        Standing::Paused => ("‖", "paused"),
        Standing::Closed => ("✕", "closed"),
    }
}

/// The mark and the words for where an order stands, and a sentence about it.
pub(super) fn state(state: OrderState, reason: Option<Reason>) -> (&'static str, &'static str, String) {
    let why = || reason.map_or_else(String::new, |reason| format!(" Reason: {}.", self::reason(reason.code())));
    match state {
        OrderState::Refused => ("✕", "Refused", format!("It was not accepted.{}", why())),
        OrderState::Offered => ("◷", "Offered", "It is held for you until you take it.".to_owned()),
        OrderState::Accepted => {
            ("◔", "Accepted", "It is yours once it is paid. Its payment stands in line.".to_owned())
        }
        OrderState::Paying => ("◑", "Being paid", "Its payment was asked for.".to_owned()),
        OrderState::Closing => ("◕", "Ending", "It ends as soon as its payment is clear.".to_owned()),
        OrderState::Confirmed => ("✓", "Confirmed", "It is paid, and yours.".to_owned()),
        OrderState::Cancelled => ("✕", "Cancelled", format!("Everything was given back.{}", why())),
        OrderState::Refunding => ("↩", "Being refunded", format!("The money is on its way back.{}", why())),
        OrderState::Refunded => ("↩", "Refunded", format!("The money is back.{}", why())),
    }
}

/// A place in the payment line.
pub(super) fn pay_place(place: PayPlace) -> String {
    let before = match place.ahead {
        0 => "Nobody before you".to_owned(),
        ahead => format!("{} before you", count(ahead)),
    };
    match place.about_s {
        Some(seconds) => format!("{before}, about {} s", count(seconds)),
        None => before,
    }
}

/// A reason for readers.
pub(super) fn reason(code: &str) -> &str {
    match code {
        "declined" | "refused" => "the payment was declined",
        "insufficient" => "too little money in the wallet",
        "buyer_left" => "the payment page was left",
        "buyer" => "you changed your mind",
        "returned" => "you returned it",
        "timeout" => "it was not paid in time",
        "operator" => "the shop undid it",
        "late_approval" => "the payment came after the end",
        other => other,
    }
}

/// A fact for readers.
pub(super) fn fact(event: &Event) -> String {
    match &event.fact {
        Fact::OrderAccepted(order) => format!("Accepted, for {}", money(order.pays)),
        Fact::OrderPaymentRequested { amount, .. } => format!("Payment of {} asked for", money(*amount)),
        Fact::PaymentApproved { amount, .. } => format!("The provider has {}", money(*amount)),
        Fact::PaymentDeclined { reason, .. } => format!("Not paid: {}", self::reason(reason)),
        Fact::PaymentUnknown { .. } => "The provider did not answer; it is asked again".to_owned(),
        Fact::PaymentNeedsBuyer { .. } => "The provider waits for you".to_owned(),
        Fact::PaymentRefunded { .. } => "The provider gave the money back".to_owned(),
        Fact::OrderConfirmed(_) => "Confirmed".to_owned(),
        Fact::OrderCancelled { reason, .. } => format!("Cancelled: {}", self::reason(reason)),
        Fact::OrderReturnRequested { reason, .. } => format!("Refund asked for: {}", self::reason(reason)),
        Fact::OrderReturned { .. } => "Refunded".to_owned(),
        Fact::OrderStuck { over, .. } => format!("Waits for a person: {}", over.code()),
        Fact::CouponRedeemed { funded, .. } => format!("Coupon used: {} off", money(*funded)),
        Fact::CouponRestored { .. } => "The coupon can be used again".to_owned(),
        other => other.kind().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flashsale_core::won;

    #[test]
    fn thousands_stand_apart() {
        let shown: Vec<String> = [0, 7, 999, 1_000, 129_000, 1_000_000].map(|n| money(won(n))).to_vec();
        assert_eq!(shown, ["₩0", "₩7", "₩999", "₩1,000", "₩129,000", "₩1,000,000"]);
    }

    #[test]
    fn every_state_has_a_mark_and_words_of_its_own() {
        let mut words: Vec<&str> = OrderState::ALL.iter().map(|s| state(*s, None).1).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), OrderState::ALL.len());
    }
}
