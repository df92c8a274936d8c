//! The waitlist: who waits for units of a sold-out item, and to whom those that come back are offered.
//!
//! A *wish* is a member's place in the line of an item. A unit that comes back becomes an *offer*: an order in state `offered`, its
//! units allocated, that the member takes, declines or lets lapse. While somebody waits, the item is closed to the public by a flag
//! that travels with the version, so nothing that comes back is visible to the public first.
//!
//! | promise | kept by |
//! |---|---|
//! | **G11** no offer without a unit allocated to it | an offer *is* an order: [`decide`](crate::stock::decide()) under the sale's lock |
//! | nobody is offered twice for one wish | the order's name is the wish's: [`Wish::name`] |
//! | the flag is set exactly while somebody waits | join, leave and offer lock the sale, so none of them reads what another is writing |
//! | nobody blocks the line for ever | [`plan`]: units are gathered for the first for a bounded time |
//!
//! The rules: [`enter`] who may wait, [`plan`] who is next. This noun imports `stock`, `order` and `event`; an offer is taken, declined
//! and lapses by the saga's table.

mod enter;
mod error;
mod facts;
mod line;
mod port;
mod wish;

pub use enter::{Desk, Entries, enter};
pub use error::{JoinRefusal, LeaveRefusal, TakeRefusal};
pub use facts::{left, opened, wished};
pub use line::{Line, Plan, Waiter, plan};
#[cfg(feature = "mock")]
pub use port::MockWaitlistLedger;
pub use port::WaitlistLedger;
pub use wish::{Join, Joined, Leave, Left, Parting, Place, Sought, Wish, WishState};
