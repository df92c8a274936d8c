//! The closed list of facts. Past tense; ids and relative quantities, never an absolute level to be applied; no personal data.

use serde::{Deserialize, Serialize};

use crate::id::{BuyerId, CampaignId, CouponId, ItemId, Method, OrderId};
use crate::sale::Lines;
use crate::time::Timestamp;
use crate::unit::Money;

/// The topics, each with one producing role and one kind of key.
pub const TOPICS: [&str; 10] =
    ["sale-state", "stock", "orders", "payments", "wallets", "coupons", "campaigns", "waitlist", "notices", "rooms"];

/// What an order's events tell of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderFact {
    /// Which order.
    pub order: OrderId,
    /// Whose.
    pub buyer: BuyerId,
    /// What it consists of.
    pub lines: Lines,
    /// The sum of the prices.
    pub list: Money,
    /// What a coupon took off.
    pub discount: Money,
    /// What the buyer pays.
    pub pays: Money,
    /// The coupon.
    pub coupon: Option<CouponId>,
    /// How the buyer pays.
    pub method: Option<Method>,
    /// Until when it can be paid.
    pub pay_by: Option<Timestamp>,
    /// The number of its hold: its place in the order of arrival.
    pub no: Option<u64>,
}

/// What a wallet's events tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalletFact {
    /// Whose wallet.
    pub member: BuyerId,
    /// By how much the balance changed, in minor units.
    pub amount: i64,
    /// The balance after it.
    pub balance: Money,
    /// Under which name: that of an order, a charge, a trade.
    pub cause: String,
}

/// Over what an order is stuck.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StuckOver {
    /// Approved, but not for the order's amount.
    WrongAmount,
    /// The gateway contradicts what it said before.
    Contradiction,
    /// The refund does not go through.
    Refund,
    /// Nobody could be told that he has an offer.
    Untold,
}

impl StuckOver {
    /// The stable word.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::WrongAmount => "wrong_amount",
            Self::Contradiction => "contradiction",
            Self::Refund => "refund",
            Self::Untold => "untold",
        }
    }
}

/// Declares the facts once: variant, kind on the wire, topic, and the fields.
macro_rules! facts {
    ($($(#[$doc:meta])* $name:ident $fields:tt = $kind:literal in $topic:literal, by $producer:literal, for $consumers:literal;)*) => {
        /// A fact: something that became true and stays true.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(tag = "kind", content = "data")]
        pub enum Fact {
            $($(#[$doc])* #[serde(rename = $kind)] $name $fields,)*
        }

        impl Fact {
            /// What it is called on the wire, such as `order.accepted`.
            #[must_use]
            pub fn kind(&self) -> &'static str {
                match self { $(Self::$name { .. } => $kind,)* }
            }

            /// The topic that carries it.
            #[must_use]
            pub fn topic(&self) -> &'static str {
                match self { $(Self::$name { .. } => $topic,)* }
            }

            /// The role that tells it.
            #[must_use]
            pub fn producer(&self) -> &'static str {
                match self { $(Self::$name { .. } => $producer,)* }
            }

            /// Kind, topic, producer and consumers of every fact, in the order of the reference.
            pub const TABLE: &'static [(&'static str, &'static str, &'static str, &'static str)] =
                &[$(($kind, $topic, $producer, $consumers),)*];
        }
    };
}

facts! {
    /// A sale was written down.
    SaleOpened { /// When it sells from.
        opens_at: Timestamp, /// Until when.
        closes_at: Timestamp } = "sale.opened" in "sale-state", by "order", for "pages";
    /// A sale was stopped for the moment.
    SalePaused {} = "sale.paused" in "sale-state", by "order", for "pages";
    /// A paused sale goes on.
    SaleResumed {} = "sale.resumed" in "sale-state", by "order", for "pages";
    /// A sale was ended for good.
    SaleClosed {} = "sale.closed" in "sale-state", by "order", for "pages";
    /// A price, a limit or the window of a sale changed.
    SaleChanged { /// How, in one line.
        what: String } = "sale.changed" in "sale-state", by "order", for "pages";
    /// An item can be sold.
    StockOpened { /// Which item.
        item: ItemId, /// How many units.
        total: u32 } = "stock.opened" in "stock", by "order", for "pages";
    /// Units were added to or taken from an item.
    StockAdjusted { /// Which item.
        item: ItemId, /// By how many.
        by: i64 } = "stock.adjusted" in "stock", by "order", for "pages";
    /// The last unit of an item was allocated.
    StockSoldOut { /// Which item.
        item: ItemId } = "stock.sold_out" in "stock", by "order", for "pages";
    /// Units of a sold-out item came back.
    StockAvailable { /// Which item.
        item: ItemId, /// How many.
        units: u32 } = "stock.available" in "stock", by "order", for "pages";
    /// An order is durable: it is the buyer's if he pays.
    OrderAccepted(OrderFact) = "order.accepted" in "orders", by "order", for "order (turn to pay), queue (ends the turn), notices";
    /// An order's turn to pay has come.
    OrderPaymentRequested { /// Which order.
        order: OrderId, /// Whose.
        buyer: BuyerId, /// Which attempt, from 1.
        attempt: u32, /// How much.
        amount: Money, /// How.
        method: Option<Method>, /// Until when.
        until: Timestamp } = "order.payment_requested" in "orders", by "order", for "payment (authorize)";
    /// An order is paid.
    OrderConfirmed(OrderFact) = "order.confirmed" in "orders", by "order", for "payment (capture), notices";
    /// An order ended without a sale; its units and coupon are back.
    OrderCancelled { /// Which order.
        order: OrderId, /// Whose.
        buyer: BuyerId, /// Why, as a stable word.
        reason: String } = "order.cancelled" in "orders", by "order", for "notices";
    /// Money of an order is on its way back; its units are back already, where the policy says so.
    OrderReturnRequested { /// Which order.
        order: OrderId, /// Whose.
        buyer: BuyerId, /// Why, as a stable word.
        reason: String } = "order.return_requested" in "orders", by "order", for "payment (refund)";
    /// Money of an order is back.
    OrderReturned { /// Which order.
        order: OrderId, /// Whose.
        buyer: BuyerId } = "order.returned" in "orders", by "order", for "notices";
    /// An order waits for a person.
    OrderStuck { /// Which order.
        order: OrderId, /// Over what.
        over: StuckOver } = "order.stuck" in "orders", by "order", for "operators";
    /// The gateway has the money.
    PaymentApproved { /// Which order.
        order: OrderId, /// Which attempt.
        attempt: u32, /// How much.
        amount: Money, /// The provider's name for it.
        reference: String } = "payment.approved" in "payments", by "payment", for "order (saga)";
    /// The gateway will not have the money.
    PaymentDeclined { /// Which order.
        order: OrderId, /// Which attempt.
        attempt: u32, /// Why, as a stable word.
        reason: String } = "payment.declined" in "payments", by "payment", for "order (saga)";
    /// The buyer has to do something to pay.
    PaymentNeedsBuyer { /// Which order.
        order: OrderId, /// Which attempt.
        attempt: u32, /// What, such as a URL.
        action: String, /// Until when.
        until: Timestamp } = "payment.needs_buyer" in "payments", by "payment", for "order (saga)";
    /// The gateway does not know; it will be asked again.
    PaymentUnknown { /// Which order.
        order: OrderId, /// Which attempt.
        attempt: u32 } = "payment.unknown" in "payments", by "payment", for "order (saga)";
    /// The money of a payment is back with the buyer.
    PaymentRefunded { /// Which order.
        order: OrderId, /// Which attempt.
        attempt: u32 } = "payment.refunded" in "payments", by "payment", for "reports";
    /// Money was put into a wallet.
    WalletCharged(WalletFact) = "wallet.charged" in "wallets", by "payment", for "reports";
    /// Money was taken out of a wallet.
    WalletWithdrawn(WalletFact) = "wallet.withdrawn" in "wallets", by "payment", for "reports";
    /// An order or a trade was paid from a wallet.
    WalletPaid(WalletFact) = "wallet.paid" in "wallets", by "payment", for "reports";
    /// A seller was paid.
    WalletReceived(WalletFact) = "wallet.received" in "wallets", by "payment", for "reports";
    /// A payment came back to a wallet.
    WalletRefunded(WalletFact) = "wallet.refunded" in "wallets", by "payment", for "reports";
    /// The platform paid for a coupon.
    WalletFunded(WalletFact) = "wallet.funded" in "wallets", by "payment", for "reports";
    /// A coupon was issued.
    CouponIssued { /// Which.
        coupon: CouponId, /// By which campaign.
        campaign: CampaignId, /// In which window.
        window: String, /// To whom.
        member: BuyerId, /// Until when it is valid.
        until: Timestamp } = "coupon.issued" in "coupons", by "coupon", for "notices";
    /// A coupon is used by an order or trade.
    CouponRedeemed { /// Which.
        coupon: CouponId, /// By what.
        used_by: OrderId, /// What the platform pays.
        funded: Money } = "coupon.redeemed" in "coupons", by "coupon", for "reports";
    /// A coupon can be used again, because its order was undone.
    CouponRestored { /// Which.
        coupon: CouponId, /// By what it was used.
        used_by: OrderId } = "coupon.restored" in "coupons", by "coupon", for "reports";
    /// The first claim of a window arrived.
    CampaignWindowOpened { /// Which campaign.
        campaign: CampaignId, /// Which window.
        window: String, /// How many coupons it has.
        cap: u32 } = "campaign.window_opened" in "campaigns", by "coupon", for "pages";
    /// A member waits for units of an item.
    WaitlistWished { /// The name of the offer that it may become.
        offer: OrderId, /// Who waits.
        member: BuyerId, /// For which item.
        item: ItemId, /// For how many units.
        units: u32, /// His number in the line.
        number: u64 } = "waitlist.wished" in "waitlist", by "order", for "operators";
    /// A member waits no more, and was offered nothing.
    WaitlistLeft { /// The name of the offer that it would have become.
        offer: OrderId, /// Who.
        member: BuyerId, /// For which item.
        item: ItemId, /// Why, as a stable word.
        reason: String } = "waitlist.left" in "waitlist", by "order", for "operators";
    /// Units are allocated to a member who waited; his time to take them runs from the hand-over of the notice.
    WaitlistOffered { /// The offer: an order.
        offer: OrderId, /// To whom.
        member: BuyerId, /// Of which item.
        item: ItemId, /// How many units.
        units: u32, /// Until when, if that is known yet.
        until: Option<Timestamp> } = "waitlist.offered" in "waitlist", by "order", for "notices (once by offer)";
    /// An offer was taken.
    WaitlistAccepted { /// The offer.
        offer: OrderId, /// By whom.
        member: BuyerId, /// Of which item.
        item: ItemId } = "waitlist.accepted" in "waitlist", by "order", for "operators";
    /// An offer was given back; its units go to the next.
    WaitlistDeclined { /// The offer.
        offer: OrderId, /// Whose.
        member: BuyerId, /// Of which item.
        item: ItemId, /// Why, as a stable word.
        reason: String } = "waitlist.declined" in "waitlist", by "order", for "operators";
    /// An offer was not taken in time; its units go to the next.
    WaitlistLapsed { /// The offer.
        offer: OrderId, /// Whose.
        member: BuyerId, /// Of which item.
        item: ItemId, /// How many units.
        units: u32 } = "waitlist.lapsed" in "waitlist", by "order", for "notices, operators";
    /// A notice was handed over to whoever carries it.
    NoticeSent { /// Which, by its fixed key.
        notice: String, /// To whom.
        to: BuyerId, /// What it says, as a stable word.
        message: String } = "notice.sent" in "notices", by "member", for "operators";
    /// A notice will never be handed over; of an offer, its time does not run.
    NoticeFailed { /// Which, by its fixed key.
        notice: String, /// To whom.
        to: BuyerId, /// What it says, as a stable word.
        message: String, /// Why, as a stable word.
        reason: String } = "notice.failed" in "notices", by "member", for "operators";
    /// A waiting room stands between people and what it protects.
    RoomOpened { /// Why, as a stable word.
        why: String } = "room.opened" in "rooms", by "queue", for "pages";
    /// A waiting room is out of the way again.
    RoomClosed {} = "room.closed" in "rooms", by "queue", for "pages";
    /// The terms of an open waiting room, or of a closed one, changed.
    RoomChanged { /// What the operator has set, as a stable word.
        mode: String, /// How many are let through in that time.
        admits: u32, /// Per how many milliseconds.
        per_ms: u64, /// The most turns at once.
        capacity: u32 } = "room.changed" in "rooms", by "queue", for "pages";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_has_facts_and_every_fact_a_known_topic() {
        for topic in TOPICS {
            assert!(Fact::TABLE.iter().any(|row| row.1 == topic), "{topic} has no fact");
        }
        assert!(Fact::TABLE.iter().all(|row| TOPICS.contains(&row.1)));
    }

    #[test]
    fn every_kind_is_told_once_and_has_consumers() {
        for (n, row) in Fact::TABLE.iter().enumerate() {
            assert!(Fact::TABLE[..n].iter().all(|other| other.0 != row.0), "{} stands twice", row.0);
            assert!(!row.2.is_empty() && !row.3.is_empty());
        }
    }
}
