//! Coupons: a campaign opens a window again and again, and the first so many members of each get one.
//!
//! A window *is* a sale of one item with limit 1 and `total = cap`; an issued coupon *is* an order of it, plus a row. So **G4**
//! (never more than the cap, never two to one member) is kept by stock's own rule, and the row's name makes a second one
//! impossible. Windows open lazily at the first claim: there is no job at midnight. This noun imports `stock` and `event`.

mod campaign;
mod error;
mod port;
mod window;

pub use crate::discount::{Coupon, CouponRefusal, Discount};
pub use campaign::{At, Campaign, CampaignError, Validity, When};
pub use error::ClaimRefusal;
pub use port::CouponLedger;
#[cfg(feature = "mock")]
pub use port::MockCouponLedger;
pub use window::{Daily, Opening, ZoneError};
