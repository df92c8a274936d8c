//! The simulator: the whole engine on one thread in virtual time, with faults, and the promises audited at the end.
//!
//! Buyers wait for their turn, buy, retry, hang up, cancel, return and claim coupons at several nodes; calls and replies are lost, applied late and
//! reordered; nodes crash at any await; the gate forgets its last writes or all of them, the waiting room all of its people; payments are declined and unknown;
//! clocks are wrong. Then the faults end, everything settles, and the [`audit`] reads the rows. The same seed gives the same bytes.
//!
//! ```
//! use flashsale_testkit::sim::{run, Plan};
//! let report = run(1, &Plan::from_seed(1));
//! assert!(report.violations.is_empty(), "{report}");
//! assert_eq!(report.script, run(1, &Plan::from_seed(1)).script);
//! ```

mod audit;
mod buyers;
mod executor;
mod faults;
mod host;
mod marks;
mod plan;
mod room;
mod run;

pub use audit::audit;
pub use buyers::{Attempt, Heard, History};
pub use executor::{Group, Sleep, World};
pub use faults::{Faulty, Plant, Rates, Wire};
pub use host::SimHost;
pub use marks::Marks;
pub use plan::{GateHome, Plan};
pub use room::WatchedRooms;
pub use run::{Report, run};
