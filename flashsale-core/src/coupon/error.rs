//! Why no coupon is issued, in precedence order.

use std::time::Duration;

use crate::id::{CampaignId, CouponId};
use crate::stock::Counted;
use crate::time::Timestamp;

/// Why a claim gets no coupon, in precedence order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimRefusal {
    /// There is no such campaign.
    #[error("there is no campaign {0}")]
    UnknownCampaign(CampaignId),
    /// The same key stands for another claim.
    #[error("this key was used for something else")]
    Conflict,
    /// The campaign is over.
    #[error("the campaign has ended")]
    Ended,
    /// No window is open.
    #[error("the next window opens at {opens_at}")]
    NotOpen {
        /// When.
        opens_at: Timestamp,
    },
    /// The campaign is stopped for the moment.
    #[error("the campaign is paused")]
    Paused,
    /// The member has one of this window, or is getting one right now.
    #[error("you have one already: {coupon}")]
    AlreadyClaimed {
        /// Which.
        coupon: CouponId,
        /// Whether he has it, or it is merely held for another request of his.
        by: Counted,
    },
    /// All coupons of this window are issued.
    #[error("all coupons of this window are gone")]
    Exhausted {
        /// When the next window opens, if there is one.
        next_opens_at: Option<Timestamp>,
    },
    /// All that are left are being issued right now; one may come back.
    #[error("all that are left are being issued right now")]
    AllHeld,
}

impl ClaimRefusal {
    /// The stable word for this refusal.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownCampaign(_) => "unknown_campaign",
            Self::Conflict => "key_reused",
            Self::Ended => "ended",
            Self::NotOpen { .. } => "not_open",
            Self::Paused => "paused",
            Self::AlreadyClaimed { .. } => "already_claimed",
            Self::Exhausted { .. } => "exhausted",
            Self::AllHeld => "all_held",
        }
    }

    /// When trying again may help, counted from `now`.
    #[must_use]
    pub fn retry_after(&self, now: Timestamp) -> Option<Duration> {
        match self {
            Self::NotOpen { opens_at } => Some(opens_at.since(now)),
            Self::Exhausted { next_opens_at } => next_opens_at.map(|at| at.since(now)),
            Self::Paused | Self::AllHeld => Some(Duration::from_secs(1)),
            _ => None,
        }
    }
}
