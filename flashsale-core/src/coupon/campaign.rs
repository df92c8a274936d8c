//! The terms of a campaign: when it opens, how many members get a coupon, what it is worth, and how a window becomes a sale.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::coupon::window::{Daily, Opening, ZoneError};
use crate::discount::{Coupon, Discount};
use crate::id::{BuyerId, CampaignId, CouponId, IdError, ItemId, Method, SaleId};
use crate::sale::{Item, Sale, Window};
use crate::time::Timestamp;
use crate::unit::{Money, Quantity, UnitError};

/// Says why terms cannot be a campaign.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CampaignError {
    /// The name is not an id, or longer than [`Campaign::NAME_CHARS_MAX`].
    #[error(transparent)]
    Id(#[from] IdError),
    /// The cap is out of bounds.
    #[error(transparent)]
    Unit(#[from] UnitError),
    /// The time of day or the zone is none.
    #[error(transparent)]
    Zone(#[from] ZoneError),
    /// It would end before it begins.
    #[error("a campaign ends after it begins")]
    Window,
}

/// When a campaign can be claimed from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// One window: the whole campaign.
    Once,
    /// A window each day, from this time to the same time of the next day.
    Daily(Daily),
}

/// How long a coupon is valid, from the moment of its claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Validity {
    /// So many days.
    Days(u32),
    /// So many calendar months; from the 31st to the last day of a shorter month.
    Months(u32),
}

/// The terms of a campaign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Campaign {
    /// Its name.
    pub id: CampaignId,
    /// From when to when it runs at all.
    pub runs: Window,
    /// When it can be claimed from.
    pub when: When,
    /// How many members of each window get a coupon.
    pub cap: Quantity,
    /// What a coupon is worth.
    pub discount: Discount,
    /// How long a coupon is valid.
    pub valid: Validity,
    /// How long a claim may be held on its way to the ledger.
    pub hold: Duration,
}

impl Campaign {
    /// The longest name: window sales are named after it, and their names are ids too.
    pub const NAME_CHARS_MAX: usize = 48;

    /// A campaign with one window and one coupon that takes nothing off: change what differs.
    ///
    /// # Errors
    /// [`CampaignError::Id`].
    pub fn named(name: &str) -> Result<Self, CampaignError> {
        if name.len() > Self::NAME_CHARS_MAX {
            return Err(IdError::TooLong { chars: name.len() }.into());
        }
        Ok(Self {
            id: CampaignId::new(name)?,
            runs: Window::ALWAYS,
            when: When::Once,
            cap: Quantity::MIN,
            discount: Discount { takes_off: Money::ZERO, from: Money::ZERO, only_with: None },
            valid: Validity::Days(30),
            hold: Duration::from_secs(30),
        })
    }

    /// Opens a window each day at `at` (`HH:MM`) in `zone` (IANA).
    ///
    /// # Errors
    /// [`CampaignError::Zone`].
    pub fn daily_at(self, at: &str, zone: &str) -> Result<Self, CampaignError> {
        Ok(Self { when: When::Daily(Daily::new(at, zone)?), ..self })
    }

    /// Sets how many members of each window get a coupon.
    ///
    /// # Errors
    /// [`CampaignError::Unit`].
    pub fn first(self, cap: u64) -> Result<Self, CampaignError> {
        Ok(Self { cap: Quantity::new(cap)?, ..self })
    }

    /// Sets what a coupon takes off.
    #[must_use]
    pub fn takes_off(mut self, amount: Money) -> Self {
        self.discount.takes_off = amount;
        self
    }

    /// Sets the smallest total that a coupon may be used on.
    #[must_use]
    pub fn from(mut self, total: Money) -> Self {
        self.discount.from = total;
        self
    }

    /// Sets the only way to pay with which a coupon may be used.
    #[must_use]
    pub fn only_with(mut self, method: Method) -> Self {
        self.discount.only_with = Some(method);
        self
    }

    /// Sets the validity in days.
    #[must_use]
    pub fn valid_days(self, days: u32) -> Self {
        Self { valid: Validity::Days(days), ..self }
    }

    /// Sets the validity in calendar months.
    #[must_use]
    pub fn valid_months(self, months: u32) -> Self {
        Self { valid: Validity::Months(months), ..self }
    }

    /// Sets from when to when the campaign runs at all.
    ///
    /// # Errors
    /// [`CampaignError::Window`].
    pub fn runs(self, opens_at: Timestamp, closes_at: Timestamp) -> Result<Self, CampaignError> {
        if closes_at <= opens_at {
            return Err(CampaignError::Window);
        }
        Ok(Self { runs: Window { opens_at, closes_at }, ..self })
    }

    /// The window at `now`, or the moment at which the first one opens, or that the campaign has ended.
    #[must_use]
    pub fn at(&self, now: Timestamp) -> At {
        if now >= self.runs.closes_at {
            return At::Ended;
        }
        match &self.when {
            When::Once if now < self.runs.opens_at => At::Before(self.runs.opens_at),
            When::Once => At::Open(Opening {
                label: "once".to_owned(),
                opens_at: self.runs.opens_at,
                closes_at: self.runs.closes_at,
            }),
            When::Daily(daily) => {
                let window = daily.open_at(now);
                // A window belongs to the campaign if it opens while the campaign runs.
                let first =
                    if window.opens_at >= self.runs.opens_at { window } else { daily.open_at(window.closes_at) };
                if first.opens_at >= self.runs.closes_at {
                    At::Ended
                } else if first.opens_at > now {
                    let opens_at = first_from(daily, self.runs.opens_at, first);
                    At::Before(opens_at)
                } else {
                    At::Open(Opening { closes_at: first.closes_at.min(self.runs.closes_at), ..first })
                }
            }
        }
    }

    /// When the window after `window` opens, if there is one.
    #[must_use]
    pub fn next_after(&self, window: &Opening) -> Option<Timestamp> {
        match self.when {
            When::Daily(_) if window.closes_at < self.runs.closes_at => Some(window.closes_at),
            _ => None,
        }
    }

    /// The sale that a window is: one item, limit 1, `total = cap`.
    ///
    /// # Errors
    /// Never, for a campaign made by its constructors.
    pub fn sale(&self, window: &Opening) -> Result<Sale, IdError> {
        let item = Item { id: Self::item(), total: self.cap, price: Money::ZERO, per_buyer: Quantity::MIN };
        Ok(Sale {
            id: self.sale_id(&window.label)?,
            window: Window { opens_at: window.opens_at, closes_at: window.closes_at },
            hold: self.hold,
            pay_within: Duration::ZERO,
            items: vec![item],
        })
    }

    /// The name of the sale that a window is: `campaign:label`.
    ///
    /// # Errors
    /// If the label is not an id's text.
    pub fn sale_id(&self, label: &str) -> Result<SaleId, IdError> {
        SaleId::new(&format!("{}:{label}", self.id))
    }

    /// The one item of a window's sale.
    #[must_use]
    pub fn item() -> ItemId {
        ItemId::new("coupon").expect("a constant id")
    }

    /// The coupon that a member gets in a window when he claims it at `now`.
    ///
    /// # Errors
    /// If the label is not an id's text.
    pub fn coupon(&self, window: &Opening, member: &BuyerId, now: Timestamp) -> Result<Coupon, IdError> {
        let (months, days) = match self.valid {
            Validity::Days(days) => (0, days),
            Validity::Months(months) => (months, 0),
        };
        let expires_at = match &self.when {
            When::Daily(daily) => daily.later(now, months, days),
            When::Once => Daily::new("00:00", "UTC").map_or(Timestamp::FAR, |utc| utc.later(now, months, days)),
        };
        Ok(Coupon {
            id: CouponId::of(&self.id, &window.label, member)?,
            campaign: self.id.clone(),
            window: window.label.clone(),
            member: member.clone(),
            discount: self.discount.clone(),
            expires_at,
            used_by: None,
        })
    }
}

/// The first daily opening at or after `from`; `near` is the one after the current window.
fn first_from(daily: &Daily, from: Timestamp, near: Opening) -> Timestamp {
    if near.opens_at >= from {
        return near.opens_at;
    }
    let window = daily.open_at(from);
    if window.opens_at >= from { window.opens_at } else { window.closes_at }
}

/// Where a campaign stands at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum At {
    /// Nothing can be claimed before this.
    Before(Timestamp),
    /// This window is open.
    Open(Opening),
    /// Nothing can be claimed any more.
    Ended,
}
