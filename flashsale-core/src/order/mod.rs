//! Orders: from accepted to confirmed, or to an end with everything given back.
//!
//! The saga is a pure machine: [`step`] takes a row, an input and the time, and says what the row becomes, which facts are
//! told and when it next wants attention. One table is the whole of it ([`cell`]); what it does not list does not happen.
//! **G8**: an order finishes, or is reported *stuck*. **G5**: units come back in the same transaction that ends the order.
//! This noun imports `stock`, `payment` and `event`.

mod error;
mod facts;
mod intake;
mod port;
mod purchase;
mod saga;
mod table;

pub use crate::stock::{Amounts, Order, OrderState, Reason};
pub use error::{CancelRefusal, OrderRefusal, ReturnRefusal};
pub use facts::{accepting, back, change_facts, ending, open_facts};
#[cfg(feature = "mock")]
pub use intake::MockIntakeLog;
pub use intake::{IntakeLog, Polled, Recorded, SetAside};
#[cfg(feature = "mock")]
pub use port::MockOrderLedger;
pub use port::{Append, Appended, OrderLedger, OrderQuery, Units};
pub use purchase::{Priced, Purchase};
pub(crate) use saga::ATTEMPT;
pub use saga::{Ask, Input, Move, Policy, Verdict, ask, step};
pub use table::{Cell, InputKind, cell, markdown};
