//! First-come-first-served sales: limited drops, tickets, daily coupons.
//!
//! The story of one purchase, in the order in which it meets the modules: a rush waits its turn in a room ([`queue`]), the [`stock`] gate
//! holds units for seconds, the ledger accepts the [`order`] for good, a [`coupon`] may be redeemed with it, a [`payment`] is asked for, who
//! came too late waits on the [`waitlist`], and every fact is told as an [`event`], of which members are told what concerns them by a
//! [`notice`]. The [`engine`] is all that awaits; everything else is words, pure rules, and ports.
//!
//! Two authorities: **the gate decides fast and may forget, the ledger decides last and is durable.** Three things a buyer can
//! be told, each stronger than the one before: *held* (soft), *accepted* (durable), *confirmed* (paid).

#![doc(html_no_source)]

// The vocabulary.
pub mod config;
pub mod discount;
pub mod error;
pub mod id;
pub mod ports;
pub mod sale;
pub mod time;
pub mod trace;
pub mod unit;

// The nouns, in the order in which a purchase meets them.
pub mod queue;

pub mod stock;

pub mod order;

pub mod coupon;

pub mod payment;

pub mod waitlist;

pub mod event;

pub mod notice;

// The first adapter, and what drives it all.
pub mod engine;
pub mod memory;

pub use config::{Settings, VolatileLedger, VolatileLog};
pub use coupon::{Campaign, Coupon};
pub use engine::{Admission, Coupons, FlashSale, Orders, Rooms, Stock, WaitingRoom, Waitlist, Wallet, Workers};
pub use error::{BackendError, Error};
pub use event::{Event, Fact};
pub use id::{BuyerId, CampaignId, CouponId, ItemId, Key, Method, OrderId, RoomId, SaleId};
pub use order::{Order, OrderRefusal, Purchase};
pub use ports::Ports;
pub use queue::Place;
pub use sale::{Item, Sale};
pub use time::{Clock, ManualClock, SystemClock, Timestamp};
pub use trace::TraceParent;
pub use unit::{Money, Quantity, won};
