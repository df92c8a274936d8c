//! The passes: each plans from what it reads, then executes; each can be run by any number of nodes at once.

mod admit;
mod charge;
mod consume;
mod follow;
mod intake;
mod lapse;
mod notify;
mod offer;
mod prune;
mod recover;
mod relay;

pub(crate) use admit::Admit;
pub(crate) use charge::Charge;
pub(crate) use consume::Consume;
pub(crate) use follow::Follow;
pub(crate) use intake::Intake;
pub(crate) use lapse::Lapse;
pub(crate) use notify::Notify;
pub(crate) use offer::Offer;
pub(crate) use prune::Prune;
pub(crate) use recover::Recover;
pub(crate) use relay::Relay;
