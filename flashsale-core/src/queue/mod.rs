//! Queue: a waiting room before what cannot stand a rush. It opens by itself, gives *places* in order of arrival, and lets people
//! through by rate **and** capacity.
//!
//! | promise | kept by |
//! |---|---|
//! | **G10** one place per member, whatever he repeats | [`RoomStore::enter`] finds his entry first |
//! | **G10** never more admitted than rate and capacity allow | [`Spending::allows`], inside the store's step |
//! | **G10** the wait shown is measured, unknown until it is | [`Wait::estimate`] |
//!
//! A *place* has a number and is worth a *turn* when the line has come to it; a *ticket* is the signed number, which gives the place
//! back after the store lost it; an *admission* is the signed turn, which is checked without asking anybody. The promises are those of the store:
//! what it loses is lost but for tickets, and nothing of the sale's own promises depends on the room. This noun imports no other.

mod activation;
mod chance;
mod error;
mod estimate;
mod pace;
mod port;
mod room;
mod tally;
mod terms;
mod ticket;

pub use activation::{Arrivals, Door, Why};
pub use chance::{Chance, Horizon};
pub use error::{EnterRefusal, RoomRefusal, TokenRefusal, TurnRefusal};
pub use estimate::{SERVED_SLICE, Served, Wait, per_minute, refresh_after};
pub use pace::{GRANTS_MAX, Pace, Spending};
#[cfg(feature = "mock")]
pub use port::MockRoomStore;
pub use port::RoomStore;
pub use room::{
    Admitted, Ended, Enter, Entered, Entry, Expired, Generation, Levels, Number, Place, Places, RoomChange, Standing,
    Turn,
};
pub use tally::Tally;
pub use terms::{MESSAGE_CHARS_MAX, Mode, Phase, RoomTermsError, Schedule, Terms};
pub use ticket::{Claim, KEYS_MAX, KeyError, Keyring, Kind, SECRET_MIN, SigningKey};
