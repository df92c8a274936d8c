//! The saga as one total table: every state against every input has a named cell.
//!
//! The page `docs/reference/saga.md` is printed from here and checked in CI. What a cell does is in [`step`](crate::order::step).

use crate::stock::OrderState;

/// The inputs of the saga.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InputKind {
    /// A request to accept, with the same content.
    AcceptSame,
    /// A request to accept, with other content.
    AcceptOther,
    /// The buyer takes what he was offered.
    OfferTaken,
    /// The buyer was told of his offer.
    OfferTold,
    /// The buyer does not want what he was offered.
    OfferDeclined,
    /// The buyer changes his mind.
    BuyerCancels,
    /// Its turn to be paid has come.
    TurnToPay,
    /// The gateway has the money: the right amount.
    Approved,
    /// The gateway has another amount.
    ApprovedOther,
    /// The gateway will not have the money.
    Declined,
    /// The buyer has to do something first.
    NeedsBuyer,
    /// The gateway does not know.
    Unknown,
    /// The gateway has fenced the key.
    PaymentCancelled,
    /// The row's own deadline has come.
    Deadline,
    /// The buyer gives it back.
    Return,
    /// The gateway gave the money back.
    Refunded,
}

impl InputKind {
    /// All inputs, in the order of the protocol's table.
    pub const ALL: [Self; 16] = [
        Self::AcceptSame,
        Self::AcceptOther,
        Self::OfferTaken,
        Self::OfferTold,
        Self::OfferDeclined,
        Self::BuyerCancels,
        Self::TurnToPay,
        Self::Approved,
        Self::ApprovedOther,
        Self::Declined,
        Self::NeedsBuyer,
        Self::Unknown,
        Self::PaymentCancelled,
        Self::Deadline,
        Self::Return,
        Self::Refunded,
    ];

    fn title(self) -> &'static str {
        match self {
            Self::AcceptSame => "accept, same content",
            Self::AcceptOther => "accept, other content",
            Self::OfferTaken => "offer taken",
            Self::OfferTold => "offer told",
            Self::OfferDeclined => "offer declined",
            Self::BuyerCancels => "buyer cancels",
            Self::TurnToPay => "turn to pay",
            Self::Approved => "approved",
            Self::ApprovedOther => "approved, wrong amount",
            Self::Declined => "declined",
            Self::NeedsBuyer => "needs the buyer",
            Self::Unknown => "unknown",
            Self::PaymentCancelled => "payment cancelled (fence)",
            Self::Deadline => "deadline",
            Self::Return => "return",
            Self::Refunded => "refunded",
        }
    }
}

/// What happens to an order in some state at some input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cell {
    /// The ledger decides: [`decide`](crate::stock::decide()).
    Decide,
    /// It was so already: the row as it is.
    Already,
    /// The same id stands for something else.
    Conflict,
    /// Too late, too early or repeated: nothing changes.
    Ignored,
    /// There is no such order.
    NotFound,
    /// It is no offer.
    NotAnOffer,
    /// The offer has lapsed.
    OfferLapsed,
    /// It is paid, so it can only be returned.
    NotCancellable,
    /// It was never paid, so it cannot be returned.
    NotBought,
    /// It cannot happen: no deadline is set in this state.
    None,
    /// A fence is written: the id can never be accepted.
    CancelFence,
    /// The offer becomes an accepted order; no units move.
    Take,
    /// The time to take the offer begins, once.
    Tell,
    /// The offer's time is over: cancelled, units back; or nobody was told: reported stuck, and it still can be.
    LapseOffer,
    /// Cancelled, units back.
    Cancel,
    /// Cancelled because its time is over, units back.
    Lapse,
    /// Wait for the gateway to fence the payment; the buyer changed his mind.
    CloseForBuyer,
    /// Wait for the gateway to fence the payment; the time is over.
    CloseForDeadline,
    /// The gateway is asked to charge.
    StartPaying,
    /// Show the buyer what to do; the deadline moves once.
    ShowAction,
    /// Look the payment up later.
    LookUpLater,
    /// Confirmed.
    Confirm,
    /// Closing over a deadline: confirmed, the units are still there. Closing for the buyer: refunding, units back.
    ConfirmOrRefund,
    /// Ask the gateway again to fence; past its maximum: cancelled, units back.
    FenceAgain,
    /// Money arrived for an order that cannot take it: refund it, keep a record.
    Orphan,
    /// Money arrived for an order that has ended: refunding, no units move.
    RefundLate,
    /// Reported stuck: the gateway has another amount than asked.
    StuckAmount,
    /// Reported stuck: the gateway contradicts itself.
    StuckContradiction,
    /// Refunding, units back by policy.
    Return,
    /// Ask for the refund again; after some tries: stuck.
    RefundAgain,
    /// Refunded.
    Refunded,
}

impl Cell {
    fn text(self) -> &'static str {
        match self {
            Self::Decide => "decide",
            Self::Already => "Already",
            Self::Conflict => "Conflict",
            Self::Ignored => "Ignored",
            Self::NotFound => "NotFound",
            Self::NotAnOffer => "NotAnOffer",
            Self::OfferLapsed => "OfferLapsed",
            Self::NotCancellable => "NotCancellable: return it",
            Self::NotBought => "NotBought",
            Self::None => "-",
            Self::CancelFence => "**cancelled** (fence)",
            Self::Take => "**accepted**",
            Self::Tell => "its time begins, once",
            Self::LapseOffer => "told: **cancelled**, units back; not told: stuck (untold)",
            Self::Cancel => "**cancelled**, units back",
            Self::Lapse => "**cancelled**, units back",
            Self::CloseForBuyer => "**closing** (buyer)",
            Self::CloseForDeadline => "**closing** (deadline), fence the key",
            Self::StartPaying => "**paying**, authorize",
            Self::ShowAction => "show the action, deadline moves once",
            Self::LookUpLater => "look up later",
            Self::Confirm => "**confirmed**",
            Self::ConfirmOrRefund => "deadline: **confirmed**; buyer: **refunding**, units back",
            Self::FenceAgain => "fence again; past the maximum **cancelled**, units back",
            Self::Orphan => "orphan: refund",
            Self::RefundLate => "**refunding**, no units",
            Self::StuckAmount => "stuck (amount)",
            Self::StuckContradiction => "stuck (contradiction)",
            Self::Return => "**refunding**, units by policy",
            Self::RefundAgain => "ask again; after k: stuck",
            Self::Refunded => "**refunded**",
        }
    }
}

/// The table (protocol 2.2). `None` is an order without a row.
#[must_use]
pub fn cell(state: Option<OrderState>, input: InputKind) -> Cell {
    use InputKind as I;
    use OrderState as S;
    match (input, state) {
        (I::AcceptSame | I::AcceptOther, None) => Cell::Decide,
        (I::AcceptSame, Some(_)) => Cell::Already,
        (I::AcceptOther, Some(_)) => Cell::Conflict,

        (I::OfferTaken, None) => Cell::NotFound,
        (I::OfferTaken, Some(S::Refused)) => Cell::NotAnOffer,
        (I::OfferTaken, Some(S::Offered)) => Cell::Take,
        (I::OfferTaken, Some(S::Cancelled)) => Cell::OfferLapsed,
        (I::OfferTaken, Some(_)) => Cell::Already,

        (I::OfferTold | I::OfferDeclined, None) => Cell::NotFound,
        (I::OfferTold | I::OfferDeclined, Some(S::Refused)) => Cell::NotAnOffer,
        (I::OfferTold, Some(S::Offered)) => Cell::Tell,
        (I::OfferTold, Some(_)) => Cell::Ignored,
        (I::OfferDeclined, Some(S::Offered)) => Cell::Cancel,
        (I::OfferDeclined, Some(S::Cancelled)) => Cell::Already,
        (I::OfferDeclined, Some(_)) => Cell::NotAnOffer,

        (I::BuyerCancels, None) => Cell::CancelFence,
        (I::BuyerCancels, Some(S::Offered | S::Accepted)) => Cell::Cancel,
        (I::BuyerCancels, Some(S::Paying)) => Cell::CloseForBuyer,
        (I::BuyerCancels, Some(S::Confirmed)) => Cell::NotCancellable,
        (I::BuyerCancels, Some(_)) => Cell::Already,

        (I::TurnToPay, None) => Cell::NotFound,
        (I::TurnToPay, Some(S::Accepted)) => Cell::StartPaying,
        (I::TurnToPay, Some(S::Paying)) => Cell::Already,
        (I::TurnToPay, Some(_)) => Cell::Ignored,

        (I::Approved, None | Some(S::Refused | S::Offered)) => Cell::Orphan,
        (I::Approved, Some(S::Accepted | S::Paying)) => Cell::Confirm,
        (I::Approved, Some(S::Closing)) => Cell::ConfirmOrRefund,
        (I::Approved, Some(S::Cancelled)) => Cell::RefundLate,
        (I::Approved, Some(S::Confirmed | S::Refunding | S::Refunded)) => Cell::Already,

        (I::ApprovedOther, None | Some(S::Refused | S::Offered)) => Cell::Orphan,
        (I::ApprovedOther, Some(S::Cancelled)) => Cell::RefundLate,
        (I::ApprovedOther, Some(_)) => Cell::StuckAmount,

        (I::Declined, None | Some(S::Refused | S::Offered | S::Accepted | S::Refunded)) => Cell::Ignored,
        (I::Declined, Some(S::Paying | S::Closing)) => Cell::Cancel,
        (I::Declined, Some(S::Confirmed | S::Refunding)) => Cell::StuckContradiction,
        (I::Declined, Some(S::Cancelled)) => Cell::Already,

        (I::NeedsBuyer, Some(S::Paying)) => Cell::ShowAction,
        (I::NeedsBuyer, Some(S::Closing)) => Cell::FenceAgain,
        (I::NeedsBuyer, _) => Cell::Ignored,

        (I::Unknown, Some(S::Paying)) => Cell::LookUpLater,
        (I::Unknown, Some(S::Closing)) => Cell::FenceAgain,
        (I::Unknown, Some(S::Refunding)) => Cell::RefundAgain,
        (I::Unknown, _) => Cell::Ignored,

        (I::PaymentCancelled, Some(S::Paying | S::Closing)) => Cell::Cancel,
        (I::PaymentCancelled, Some(S::Confirmed)) => Cell::StuckContradiction,
        (I::PaymentCancelled, Some(S::Cancelled)) => Cell::Already,
        (I::PaymentCancelled, _) => Cell::Ignored,

        (I::Deadline, Some(S::Offered)) => Cell::LapseOffer,
        (I::Deadline, Some(S::Accepted)) => Cell::Lapse,
        (I::Deadline, Some(S::Paying)) => Cell::CloseForDeadline,
        (I::Deadline, Some(S::Closing)) => Cell::FenceAgain,
        (I::Deadline, Some(S::Refunding)) => Cell::RefundAgain,
        (I::Deadline, None | Some(_)) => Cell::None,

        (I::Return, None) => Cell::NotFound,
        (I::Return, Some(S::Confirmed)) => Cell::Return,
        (I::Return, Some(S::Cancelled | S::Refunding | S::Refunded)) => Cell::Already,
        (I::Return, Some(_)) => Cell::NotBought,

        (I::Refunded, None) => Cell::Orphan,
        (I::Refunded, Some(S::Closing | S::Confirmed)) => Cell::StuckContradiction,
        (I::Refunded, Some(S::Refunding)) => Cell::Refunded,
        (I::Refunded, Some(S::Refunded)) => Cell::Already,
        (I::Refunded, Some(_)) => Cell::Ignored,
    }
}

/// The table as the page `docs/reference/saga.md`.
#[must_use]
pub fn markdown() -> String {
    let mut page = String::from(
        "# The saga\n\n\
         Printed from `flashsale-core/src/order/table.rs`; a test compares it, `UPDATE=1 cargo test -p flashsale-core saga_page` prints it anew.\n\n\
         A row is an input, a column a state; *none* is an order without a row. Units are allocated in `offered accepted paying closing confirmed`.\n\n",
    );
    page.push_str("| input | none |");
    for state in OrderState::ALL {
        page.push_str(&format!(" {} |", state.code()));
    }
    page.push_str("\n|---|---|");
    page.push_str(&"---|".repeat(OrderState::ALL.len()));
    page.push('\n');
    for input in InputKind::ALL {
        page.push_str(&format!("| {} | {} |", input.title(), cell(None, input).text()));
        for state in OrderState::ALL {
            page.push_str(&format!(" {} |", cell(Some(state), input).text()));
        }
        page.push('\n');
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saga_page_is_printed_from_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reference/saga.md");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, markdown()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), markdown(), "run with UPDATE=1 to print it anew");
    }

    #[test]
    fn refused_cancelled_and_refunded_never_hold_units_again() {
        let moves_to_live =
            [Cell::Take, Cell::Tell, Cell::StartPaying, Cell::Confirm, Cell::CloseForBuyer, Cell::CloseForDeadline];
        for state in [OrderState::Refused, OrderState::Cancelled, OrderState::Refunded, OrderState::Refunding] {
            for input in InputKind::ALL {
                assert!(!moves_to_live.contains(&cell(Some(state), input)), "{state:?} {input:?}");
            }
        }
    }
}
