//! The payment line as it is shown: how many go before an order, and how long that takes by what was seen of the line.
//!
//! Owns the measuring, one look after the other. Each process goes by what it has seen itself, and makes no wait up before.

use std::time::Duration;

use flashsale_core::queue::{Served, Wait};
use flashsale_core::stock::PaymentLine;
use flashsale_core::{Order, Timestamp};

/// Two looks each: a line that is over before two slices are full needs no estimate.
const SLICE: Duration = Duration::from_secs(2);

/// A payment line, and how it has moved.
#[derive(Debug, Clone)]
pub(crate) struct PayLine {
    line: PaymentLine,
    passed: Served,
}

/// Where an order stands in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PayPlace {
    /// How many go before it.
    pub(crate) ahead: u64,
    /// How long it takes, in seconds; `None` until it is measured.
    pub(crate) about_s: Option<u64>,
}

impl PayLine {
    /// The first look.
    pub(crate) fn at(line: PaymentLine) -> Self {
        Self { line, passed: Served::new(SLICE) }
    }

    /// The next look. A line that is empty says nothing of how fast it moves.
    pub(crate) fn seen(&mut self, line: PaymentLine, now: Timestamp) {
        let passed = line.served.saturating_sub(self.line.served);
        if line.length() == 0 {
            self.passed = Served::new(SLICE);
        } else {
            self.passed.add(now, u32::try_from(passed).unwrap_or(u32::MAX));
        }
        self.line = line;
    }

    pub(crate) fn length(&self) -> u64 {
        self.line.length()
    }

    /// Where this order stands; `None`: it is not in the line.
    pub(crate) fn place(&self, order: &Order, now: Timestamp) -> Option<PayPlace> {
        let ahead = self.line.ahead_of(order)?;
        let about_s = match Wait::estimate(ahead, &self.passed, now) {
            Wait::Unknown => None,
            Wait::Measured { about, .. } => Some(u64::try_from(about.as_millis().div_ceil(1_000)).unwrap_or(u64::MAX)),
        };
        Some(PayPlace { ahead, about_s })
    }
}

#[cfg(test)]
mod tests {
    use flashsale_core::order::{OrderState, Reason};
    use flashsale_core::stock::Cancel;
    use flashsale_core::{OrderId, SaleId};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn order(pay_no: u64) -> Order {
        let cancel = Cancel { id: OrderId::new("ann~1").unwrap(), reason: Reason::Buyer };
        let fence = Order::fence(&SaleId::new("drop").unwrap(), &cancel, 1, Timestamp::from_ms(0));
        Order { state: OrderState::Accepted, pay_no: Some(pay_no), pay_by: Some(Timestamp::FAR), ..fence }
    }

    /// A look a second at a line of 1,000 that moves by 10 in each.
    fn looked(looks: u64) -> (PayLine, Timestamp) {
        let mut now = Timestamp::from_ms(1_000_000);
        let mut line = PayLine::at(PaymentLine { issued: 1_000, served: 0 });
        for look in 1..=looks {
            now = now.after(SECOND);
            line.seen(PaymentLine { issued: 1_000, served: look * 10 }, now);
        }
        (line, now)
    }

    #[test]
    fn the_place_is_known_at_once_and_the_wait_when_it_is_measured() {
        let (line, now) = looked(2);
        assert_eq!(line.place(&order(61), now), Some(PayPlace { ahead: 40, about_s: None }));
        let (line, now) = looked(9);
        assert_eq!(line.place(&order(130), now), Some(PayPlace { ahead: 39, about_s: Some(4) }));
    }

    #[test]
    fn a_line_that_was_empty_is_measured_anew() {
        let (mut line, now) = looked(9);
        line.seen(PaymentLine { issued: 1_000, served: 1_000 }, now.after(SECOND));
        line.seen(PaymentLine { issued: 1_100, served: 1_000 }, now.after(2 * SECOND));
        let place = line.place(&order(1_011), now.after(2 * SECOND));
        assert_eq!(place, Some(PayPlace { ahead: 10, about_s: None }));
    }

    #[test]
    fn who_is_through_has_no_place() {
        let (line, now) = looked(9);
        assert_eq!(line.place(&Order { state: OrderState::Confirmed, ..order(5) }, now), None);
        assert_eq!(line.length(), 910);
    }
}
