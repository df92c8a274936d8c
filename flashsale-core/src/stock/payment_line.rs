//! The payment line of a sale: a number for each order that is to be paid, and how many of them are through.
//!
//! Owns who stands in the line and how many go before him. How fast it moves is measured by whoever shows it; who is charged
//! next is the charge pass's.

use serde::{Deserialize, Serialize};

use crate::stock::{Order, OrderState};

/// The two numbers of a sale's payment line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PaymentLine {
    /// The last number that was given.
    pub issued: u64,
    /// How many of the numbers have left the line.
    pub served: u64,
}

impl PaymentLine {
    /// How many numbers stand in it.
    #[must_use]
    pub fn length(self) -> u64 {
        self.issued.saturating_sub(self.served)
    }

    /// How many go before this order; `None`: it does not stand in the line.
    ///
    /// Exact while who came first is through first, and never too few before somebody behind it has left. Of an older
    /// look at the line it is more. One without a number, such as a taken offer, may have the whole line before it.
    #[must_use]
    pub fn ahead_of(self, order: &Order) -> Option<u64> {
        order.is_in_payment_line().then(|| match order.pay_no {
            Some(no) => no.saturating_sub(self.served).saturating_sub(1),
            None => self.length(),
        })
    }

    /// Counts an order that was so before and is so now: it has left the line, or it has not.
    pub fn serve(&mut self, before: &Order, now: &Order) {
        if before.pay_no.is_some() && before.is_in_payment_line() && !now.is_in_payment_line() {
            self.served += 1;
        }
    }
}

impl Order {
    /// Whether it stands in its sale's payment line: it is to be paid, and the gateway has said neither yes nor no, nor what the
    /// buyer must do. Who has left the line does not come back.
    #[must_use]
    pub fn is_in_payment_line(&self) -> bool {
        match self.state {
            OrderState::Accepted => self.pay_by.is_some(),
            OrderState::Paying => self.pay_by.is_some() && self.action.is_none(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{OrderId, SaleId};
    use crate::stock::{Cancel, Reason};
    use crate::time::Timestamp;

    fn order(state: OrderState, pay_no: Option<u64>) -> Order {
        let id = OrderId::new("ann~1").unwrap();
        let fence = Order::fence(
            &SaleId::new("drop").unwrap(),
            &Cancel { id, reason: Reason::Buyer },
            1,
            Timestamp::from_ms(0),
        );
        Order { state, pay_no, pay_by: Some(Timestamp::FAR), ..fence }
    }

    #[test]
    fn the_place_counts_those_who_came_before_and_are_not_through() {
        let line = PaymentLine { issued: 20, served: 7 };
        let ahead = |no| line.ahead_of(&order(OrderState::Accepted, Some(no)));
        assert_eq!([8, 9, 20].map(ahead), [Some(0), Some(1), Some(12)]);
        assert_eq!(ahead(3), Some(0), "later ones were through first");
        assert_eq!(line.ahead_of(&order(OrderState::Paying, Some(9))), Some(1), "asked for is not yet through");
        assert_eq!(line.length(), 13);
    }

    #[test]
    fn an_older_look_at_the_line_never_tells_too_few() {
        let paying = order(OrderState::Paying, Some(15));
        let looks = (0..15).map(|served| PaymentLine { issued: 20, served }.ahead_of(&paying));
        assert!(looks.is_sorted_by(|old, new| old >= new));
    }

    #[test]
    fn without_a_number_the_whole_line_may_go_before() {
        let line = PaymentLine { issued: 20, served: 7 };
        assert_eq!(line.ahead_of(&order(OrderState::Accepted, None)), Some(13));
    }

    #[test]
    fn who_is_through_or_owes_nothing_has_no_place() {
        let line = PaymentLine { issued: 20, served: 7 };
        for state in OrderState::ALL {
            let stands = matches!(state, OrderState::Accepted | OrderState::Paying);
            assert_eq!(line.ahead_of(&order(state, Some(9))).is_some(), stands, "{state:?}");
        }
        let asked = Order { action: Some("page".to_owned()), ..order(OrderState::Paying, Some(9)) };
        let kept = Order { pay_by: None, ..order(OrderState::Accepted, None) };
        assert_eq!([asked, kept].map(|order| line.ahead_of(&order)), [None, None]);
    }
}
