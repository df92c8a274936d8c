//! Notices: what a member is told, and under which fixed key.
//!
//! A notice is made from one fact and has its name, so that a repeat of the fact is a repeat of the notice (**G9**: at least once under a
//! fixed key). Who carries notices is a [`Notifier`]; those that are not carried yet wait in the [`NoticeLedger`]. Owns the words and
//! the ports. Does not own addresses, languages and texts: those are the notifier's, so that no personal data is in events or rows.
//! This noun imports no other; which fact says what is the engine's.

mod memory;
mod port;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::{BuyerId, CampaignId, CouponId, ItemId, OrderId};
use crate::time::Timestamp;
use crate::unit::{Money, Quantity};

pub use memory::{Quiet, Recorded};
#[cfg(feature = "mock")]
pub use port::{MockNoticeLedger, MockNotifier};
pub use port::{NoticeLedger, Notifier, Outcome, Reach, Settled, Taken, Unsendable};

/// The largest number of bytes in a key: every ledger can keep it in a primary key.
pub const KEY_BYTES_MAX: usize = 512;

/// The fixed name of a notice: the id of the fact that it tells. A repeat has the same one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct NoticeKey(String);

/// A text is not a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a notice's key is 1 to {KEY_BYTES_MAX} printable ASCII characters without a space")]
pub struct KeyError;

impl NoticeKey {
    /// Checks and takes the id of a fact.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn new(fact: impl Into<String>) -> Result<Self, KeyError> {
        let text = fact.into();
        let right = (1..=KEY_BYTES_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        if right { Ok(Self(text)) } else { Err(KeyError) }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for NoticeKey {
    type Error = KeyError;

    fn try_from(text: String) -> Result<Self, KeyError> {
        Self::new(text)
    }
}

impl fmt::Display for NoticeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Something that one member is to be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Its fixed name.
    pub key: NoticeKey,
    /// Who is told.
    pub to: BuyerId,
    /// When it became true.
    pub at: Timestamp,
    /// What he is told.
    pub message: Message,
}

/// What members are told: a closed list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "data")]
pub enum Message {
    /// His order is durable, and his if he pays.
    #[serde(rename = "order_accepted")]
    OrderAccepted {
        /// Which order.
        order: OrderId,
        /// What he pays.
        pays: Money,
        /// Until when; `None`: there is nothing to pay.
        pay_by: Option<Timestamp>,
    },
    /// His order is paid.
    #[serde(rename = "order_confirmed")]
    OrderConfirmed {
        /// Which order.
        order: OrderId,
        /// What he paid.
        pays: Money,
    },
    /// His order ended without a sale.
    #[serde(rename = "order_cancelled")]
    OrderCancelled {
        /// Which order.
        order: OrderId,
        /// Why, as a stable word.
        reason: String,
    },
    /// His money is back.
    #[serde(rename = "order_returned")]
    OrderReturned {
        /// Which order.
        order: OrderId,
    },
    /// Units are held for him until he takes them; the time runs from the hand-over of this notice (hole 34).
    #[serde(rename = "offer_made")]
    OfferMade {
        /// The order that is offered.
        offer: OrderId,
        /// Of what.
        item: ItemId,
        /// How many units.
        units: Quantity,
        /// How long he has, where the fact says it.
        within: Option<Duration>,
    },
    /// An offer's time is over; its units went on to the next in line.
    #[serde(rename = "offer_lapsed")]
    OfferLapsed {
        /// The order that was offered.
        offer: OrderId,
        /// Of what.
        item: ItemId,
        /// How many units.
        units: Quantity,
    },
    /// A coupon is his.
    #[serde(rename = "coupon_issued")]
    CouponIssued {
        /// Which.
        coupon: CouponId,
        /// By which campaign.
        campaign: CampaignId,
        /// Until when it can be used.
        until: Timestamp,
    },
}

impl Message {
    /// The stable word for this kind of notice.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::OrderAccepted { .. } => "order_accepted",
            Self::OrderConfirmed { .. } => "order_confirmed",
            Self::OrderCancelled { .. } => "order_cancelled",
            Self::OrderReturned { .. } => "order_returned",
            Self::OfferMade { .. } => "offer_made",
            Self::OfferLapsed { .. } => "offer_lapsed",
            Self::CouponIssued { .. } => "coupon_issued",
        }
    }

    /// The offer whose time runs from the hand-over of this notice.
    #[must_use]
    pub fn offer(&self) -> Option<&OrderId> {
        match self {
            Self::OfferMade { offer, .. } => Some(offer),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_printable_and_fits_into_every_ledger() {
        for text in ["ann~k1/2/order.confirmed", "a", &"x".repeat(KEY_BYTES_MAX)] {
            assert_eq!(NoticeKey::new(text).map(|key| key.as_str().to_owned()), Ok(text.to_owned()));
        }
        for text in ["", "a b", "a\r\nBcc: x", "é", "a\0", &"x".repeat(KEY_BYTES_MAX + 1)] {
            assert_eq!(NoticeKey::new(text), Err(KeyError), "{text:?}");
        }
        assert!(serde_json::from_str::<NoticeKey>("\"a\\nb\"").is_err(), "rows are checked as well");
    }

    #[test]
    fn the_kind_in_rows_is_the_stable_word() {
        let order: OrderId = "ann~1".parse().unwrap();
        let message = Message::OrderReturned { order };
        let row = serde_json::to_value(&message).unwrap();
        assert_eq!(row["kind"], message.kind());
        assert_eq!(serde_json::from_value::<Message>(row).unwrap(), message);
    }
}
