//! The memory backends pass every suite.

use flashsale_testkit::MemoryGates;

flashsale_testkit::stock_gate_suite!(MemoryGates::default());
