//! The engine: the only code in this crate that awaits.

mod host;

pub use host::{Host, Task, TokioHost};
