//! How databases run our statements: each finds its rows by a key. Told by the databases themselves.
//!
//! What is looked at is in the file of each kind of database; what sends every statement that there is comes from the testkit.

#[cfg(any(feature = "postgres", feature = "mysql"))]
mod servers;
#[cfg(feature = "sqlite")]
mod sqlite;

use flashsale_core::Timestamp;

/// The time of the ledger's clock.
const NOW: Timestamp = Timestamp::from_ms(5);
