//! The saga's step: what a row becomes. Pure; the table is in [`cell`](crate::order::cell).

use std::time::Duration;

use crate::event::StuckOver;
use crate::order::facts;
use crate::order::port::{Append, Units};
use crate::order::table::{Cell, InputKind, cell};
use crate::payment::{DeclineReason, PaymentKey};
use crate::stock::{Order, OrderState, Reason};
use crate::time::Timestamp;
use crate::unit::Money;

/// The only attempt that an order has: a declined payment ends it (protocol 2.2).
pub(crate) const ATTEMPT: u32 = 1;

/// Something that happened to an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// The buyer takes what he was offered.
    OfferTaken {
        /// How long he has to pay; `None` where nobody asks him to.
        pay_within: Option<Duration>,
    },
    /// The buyer was told of his offer: his time to take it begins.
    OfferTold,
    /// The buyer does not want what he was offered.
    OfferDeclined,
    /// The buyer changes his mind.
    BuyerCancels,
    /// Its turn to be paid has come.
    TurnToPay,
    /// The gateway has the money.
    Approved {
        /// How much.
        amount: Money,
    },
    /// The gateway will not have the money.
    Declined(DeclineReason),
    /// The buyer has to do something first.
    NeedsBuyer {
        /// What.
        action: String,
        /// Until when.
        until: Timestamp,
    },
    /// The gateway does not know.
    Unknown,
    /// The gateway has fenced the key.
    PaymentCancelled,
    /// The deadline of this version of the row has come.
    Deadline {
        /// Which version.
        ver: u32,
    },
    /// The buyer gives it back.
    Return,
    /// The gateway gave the money back.
    Refunded,
}

impl Input {
    fn kind(&self, order: Option<&Order>) -> InputKind {
        match self {
            Self::OfferTaken { .. } => InputKind::OfferTaken,
            Self::OfferTold => InputKind::OfferTold,
            Self::OfferDeclined => InputKind::OfferDeclined,
            Self::BuyerCancels => InputKind::BuyerCancels,
            Self::TurnToPay => InputKind::TurnToPay,
            Self::Approved { amount } if order.is_none_or(|o| o.amounts.pays == *amount) => InputKind::Approved,
            Self::Approved { .. } => InputKind::ApprovedOther,
            Self::Declined(_) => InputKind::Declined,
            Self::NeedsBuyer { .. } => InputKind::NeedsBuyer,
            Self::Unknown => InputKind::Unknown,
            Self::PaymentCancelled => InputKind::PaymentCancelled,
            Self::Deadline { .. } => InputKind::Deadline,
            Self::Return => InputKind::Return,
            Self::Refunded => InputKind::Refunded,
        }
    }
}

/// The bounds of the saga.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// How long the gateway may be silent before it is asked what became of a payment. Default 5 s: most answer within one.
    pub look_up_after: Duration,
    /// The pause between two asks, doubled with each, at most 64-fold. Default 1 s.
    pub ask_again_after: Duration,
    /// After how long a gateway's silence about a fence ends the order all the same. Default 30 min, above the
    /// settlement window that providers state.
    pub gateway_max: Duration,
    /// After how many tries a refund is reported stuck. Default 10.
    pub refund_tries: u32,
    /// How long after confirmation an order can be returned. Default 7 days.
    pub return_within: Duration,
    /// What happens to the units of a returned order. Default: they are for sale again.
    pub returned_units: Units,
    /// How long a member has to take an offer, from the moment at which he was told. Default 30 min: long enough to read mail, short
    /// enough that the next in line is reached on the same day.
    pub offer_within: Duration,
    /// After how long an offer of which nobody could be told is reported stuck. Default 1 h: mail that is down longer wants a person.
    pub tell_within: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            look_up_after: Duration::from_secs(5),
            ask_again_after: Duration::from_secs(1),
            gateway_max: Duration::from_secs(1800),
            refund_tries: 10,
            return_within: Duration::from_secs(7 * 86_400),
            returned_units: Units::GiveBack,
            offer_within: Duration::from_secs(1_800),
            tell_within: Duration::from_secs(3_600),
        }
    }
}

impl Policy {
    fn pause(&self, tries: u32) -> Duration {
        self.ask_again_after.saturating_mul(1 << tries.min(6))
    }
}

/// A transition to write, or why nothing is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Write this.
    Move(Box<Append>),
    /// It is so already.
    Already,
    /// Too late, too early or repeated.
    Ignored,
    /// There is no such order.
    NotFound,
    /// There is no such order: write a fence with [`StockLedger::cancel`](crate::stock::StockLedger::cancel).
    Fence,
    /// It is paid: it can only be returned.
    NotCancellable,
    /// It was never paid.
    NotBought,
    /// The time for returns is over since then.
    ReturnPassed(Timestamp),
    /// It is no offer.
    NotAnOffer,
    /// The offer has lapsed.
    OfferLapsed,
    /// Money for an order that cannot take it: refund it, keep a record.
    Orphan,
}

/// The row that follows another: what differs is set by name.
#[derive(Debug)]
pub struct Move {
    order: Order,
    expect: u32,
    units: Units,
    from: OrderState,
}

impl Move {
    fn to(order: &Order, state: OrderState, reason: Option<Reason>, now: Timestamp) -> Self {
        let entered = state != order.state;
        let next = Order {
            state,
            reason,
            ver: order.ver + 1,
            since: if entered { now } else { order.since },
            tries: if entered { 0 } else { order.tries },
            due_at: None,
            action: None,
            ..order.clone()
        };
        let gives_back = order.state.holds_units() && !state.holds_units();
        Self {
            order: next,
            expect: order.ver,
            units: if gives_back { Units::GiveBack } else { Units::Keep },
            from: order.state,
        }
    }

    fn due(mut self, at: Timestamp) -> Self {
        self.order.due_at = Some(at);
        self
    }

    fn keep_units(mut self, policy: Units) -> Self {
        if policy == Units::Keep {
            self.units = Units::Keep;
        }
        self
    }

    fn verdict(self, stuck: Option<StuckOver>, now: Timestamp) -> Verdict {
        let Self { mut order, expect, units, from } = self;
        let newly = stuck.filter(|over| order.stuck.as_deref() != Some(over.code()));
        order.stuck = stuck.map(|over| over.code().to_owned());
        let events = facts::moved(&order, from, units, newly, now);
        Verdict::Move(Box::new(Append { expect, order, units, events }))
    }
}

/// What an input does to an order (or to none).
///
/// ```
/// use flashsale_core::order::{step, Input, Policy, Verdict};
/// use flashsale_core::Timestamp;
/// let verdict = step(None, &Input::TurnToPay, Timestamp::from_ms(0), &Policy::default());
/// assert_eq!(verdict, Verdict::NotFound);
/// ```
#[must_use]
pub fn step(order: Option<&Order>, input: &Input, now: Timestamp, policy: &Policy) -> Verdict {
    let cell = cell(order.map(|o| o.state), input.kind(order));
    let Some(order) = order else {
        return match cell {
            Cell::CancelFence => Verdict::Fence,
            Cell::Orphan => Verdict::Orphan,
            Cell::NotFound => Verdict::NotFound,
            _ => Verdict::Ignored,
        };
    };
    if matches!(input, Input::Deadline { ver } if *ver != order.ver) {
        return Verdict::Ignored;
    }
    let to = |state, reason| Move::to(order, state, reason, now);
    let plain = |moved: Move| moved.verdict(None, now);
    match cell {
        Cell::Decide | Cell::Already | Cell::Conflict => Verdict::Already,
        Cell::Ignored | Cell::None => Verdict::Ignored,
        Cell::NotFound | Cell::CancelFence => Verdict::NotFound,
        Cell::NotAnOffer => Verdict::NotAnOffer,
        Cell::OfferLapsed => Verdict::OfferLapsed,
        Cell::NotCancellable => Verdict::NotCancellable,
        Cell::NotBought => Verdict::NotBought,
        Cell::Orphan => Verdict::Orphan,

        Cell::Take => {
            let Input::OfferTaken { pay_within } = input else { return Verdict::Ignored };
            let mut moved = to(OrderState::Accepted, None);
            moved.order.pay_by = pay_within.map(|within| now.after(within));
            moved.order.due_at = moved.order.pay_by;
            plain(moved)
        }
        // An offer's time is where an order's time to pay is: it begins once.
        Cell::Tell if order.pay_by.is_some() => Verdict::Already,
        Cell::Tell => {
            let mut moved = to(OrderState::Offered, None).due(now.after(policy.offer_within));
            moved.order.pay_by = moved.order.due_at;
            plain(moved)
        }
        // Without a deadline any more: it waits for a person, or to be told after all.
        Cell::LapseOffer if order.pay_by.is_none() && order.stuck.is_some() => Verdict::Already,
        Cell::LapseOffer if order.pay_by.is_none() => {
            to(OrderState::Offered, None).verdict(Some(StuckOver::Untold), now)
        }
        Cell::LapseOffer => plain(to(OrderState::Cancelled, Some(Reason::Lapsed))),
        Cell::Cancel => plain(to(OrderState::Cancelled, Some(why_cancelled(order, input)))),
        Cell::Lapse => plain(to(OrderState::Cancelled, Some(Reason::Timeout))),
        Cell::CloseForBuyer => plain(to(OrderState::Closing, Some(Reason::Buyer)).due(now)),
        Cell::StartPaying => plain(to(OrderState::Paying, None).due(look_up(order, now, policy))),
        Cell::ShowAction => {
            let Input::NeedsBuyer { action, until } = input else { return Verdict::Ignored };
            if order.action.is_some() {
                return Verdict::Already;
            }
            let pay_by = order.pay_by.map_or(*until, |by| by.max(*until));
            let mut moved = to(OrderState::Paying, None).due(pay_by);
            moved.order.action = Some(action.clone());
            moved.order.pay_by = Some(pay_by);
            plain(moved)
        }
        Cell::LookUpLater => {
            let mut moved = to(OrderState::Paying, None);
            moved.order.action.clone_from(&order.action);
            moved.order.tries = order.tries + 1;
            let ask = now.after(policy.pause(order.tries));
            plain(moved.due(order.pay_by.map_or(ask, |by| by.min(ask))))
        }
        Cell::Confirm => plain(to(OrderState::Confirmed, None)),
        Cell::ConfirmOrRefund if order.reason == Some(Reason::Buyer) => {
            plain(to(OrderState::Refunding, Some(Reason::Buyer)).due(now))
        }
        Cell::ConfirmOrRefund => plain(to(OrderState::Confirmed, None)),
        Cell::CloseForDeadline => {
            let unpaid = order.pay_by.is_none_or(|by| now >= by);
            if unpaid {
                plain(to(OrderState::Closing, Some(Reason::Timeout)).due(now))
            } else {
                // The row woke to look a payment up, not because its time is over.
                step(Some(order), &Input::Unknown, now, policy)
            }
        }
        Cell::FenceAgain => {
            if now >= order.since.after(policy.gateway_max) {
                return plain(to(OrderState::Cancelled, order.reason));
            }
            let mut moved = to(OrderState::Closing, order.reason);
            moved.order.tries = order.tries + 1;
            plain(moved.due(now.after(policy.pause(order.tries))))
        }
        Cell::RefundLate => plain(to(OrderState::Refunding, Some(Reason::LateApproval)).due(now)),
        Cell::StuckAmount => stuck(order, StuckOver::WrongAmount, now),
        Cell::StuckContradiction => stuck(order, StuckOver::Contradiction, now),
        // An issued coupon was never paid for: its place under the cap is not for sale again (**G4**).
        Cell::Return if order.pay_by.is_none() => Verdict::NotBought,
        Cell::Return => {
            let last = order.since.after(policy.return_within);
            if now >= last {
                return Verdict::ReturnPassed(last);
            }
            let moved = to(OrderState::Refunding, Some(Reason::Returned)).due(now);
            plain(moved.keep_units(policy.returned_units))
        }
        Cell::RefundAgain => {
            let mut moved = to(OrderState::Refunding, order.reason);
            moved.order.tries = order.tries + 1;
            let stuck = (order.tries + 1 >= policy.refund_tries).then_some(StuckOver::Refund);
            moved.due(now.after(policy.pause(order.tries))).verdict(stuck, now)
        }
        Cell::Refunded => plain(to(OrderState::Refunded, order.reason)),
    }
}

fn why_cancelled(order: &Order, input: &Input) -> Reason {
    match (order.reason, input) {
        // An order that was closing ends for the reason for which it was closing.
        (Some(reason), _) if order.state == OrderState::Closing => reason,
        (_, Input::Declined(DeclineReason::Refused)) => Reason::Declined,
        (_, Input::Declined(DeclineReason::Insufficient)) => Reason::Insufficient,
        (_, Input::Declined(DeclineReason::BuyerLeft)) => Reason::BuyerLeft,
        (_, Input::PaymentCancelled) => Reason::Fenced,
        _ => Reason::Buyer,
    }
}

/// The row stays where it is, marked, and is told once.
fn stuck(order: &Order, over: StuckOver, now: Timestamp) -> Verdict {
    if order.stuck.as_deref() == Some(over.code()) {
        return Verdict::Already;
    }
    let moved = Move {
        order: Order { ver: order.ver + 1, ..order.clone() },
        expect: order.ver,
        units: Units::Keep,
        from: order.state,
    };
    moved.verdict(Some(over), now)
}

fn look_up(order: &Order, now: Timestamp, policy: &Policy) -> Timestamp {
    let ask = now.after(policy.look_up_after);
    order.pay_by.map_or(ask, |by| by.min(ask))
}

/// What a due order wants from the gateway before the saga can go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// Nothing: its own deadline is the input.
    Deadline,
    /// What became of the payment?
    LookUp(PaymentKey),
    /// Fence the payment.
    Fence(PaymentKey),
    /// Give the money back.
    Refund(PaymentKey),
}

/// What to ask for an order that is due, by its state and the time.
#[must_use]
pub fn ask(order: &Order, now: Timestamp) -> Ask {
    let key = || PaymentKey { order: order.id.clone(), attempt: ATTEMPT, method: order.method.clone() };
    match order.state {
        OrderState::Paying if order.pay_by.is_some_and(|by| now < by) => Ask::LookUp(key()),
        OrderState::Closing => Ask::Fence(key()),
        OrderState::Refunding => Ask::Refund(key()),
        _ => Ask::Deadline,
    }
}
