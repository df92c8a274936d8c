//! The memory backends pass every suite.

use flashsale_testkit::{MemoryGates, MemoryLedgers};

flashsale_testkit::stock_gate_suite!(MemoryGates::default());
flashsale_testkit::stock_ledger_suite!(MemoryLedgers::default());
flashsale_testkit::order_ledger_suite!(MemoryLedgers::default());
flashsale_testkit::coupon_ledger_suite!(MemoryLedgers::default());
flashsale_testkit::wallet_ledger_suite!(MemoryLedgers::default());
