//! The conformance suites: one per port, one named test per rule.
//!
//! A rule is a public function of a [`Fixture`](crate::Fixture); it panics where the backend breaks it. A suite's macro makes a
//! test of each. The list of a suite's rules stands once, in the `suite!` at the head of its file; a test compares it with the
//! functions that stand below.

pub mod coupon_ledger;
pub mod dead_letters;
pub mod event_bus;
pub mod intake_log;
pub mod notice_ledger;
pub mod notifier;
pub mod order_ledger;
pub mod outbox;
pub mod payment_gateway;
pub mod room_store;
pub mod stock_gate;
pub mod stock_ledger;
pub mod waitlist_ledger;
pub mod wallet_ledger;

/// Runs a rule to its end, on a runtime of its own.
///
/// # Panics
/// Where the rule is broken.
pub fn run<T>(rule: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(rule)
}

/// Runs futures at the same time; what they give, in their order.
pub async fn together<F: Future>(all: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    futures_util::future::join_all(all).await
}

/// Declares the rules of a suite: their list, and the macro that makes a test of each.
macro_rules! suite {
    ($d:tt $(#[$doc:meta])* $macro:ident = $module:ident { $($part:ident: $($rule:ident)*;)* }) => {
        $(#[$doc])*
        #[macro_export]
        macro_rules! $macro {
            ($d fixture:expr) => {
                mod $module {
                    #[allow(unused_imports)]
                    use super::*;
                    $(mod $part {
                        #[allow(unused_imports)]
                        use super::*;
                        $(
                            #[test]
                            fn $rule() {
                                $crate::run($crate::suite::$module::$part::$rule(&$d fixture));
                            }
                        )*
                    })*
                }
            };
        }

        /// The rules of this suite, by part.
        pub const RULES: &[(&str, &[&str])] = &[$((stringify!($part), &[$(stringify!($rule)),*])),*];

        #[cfg(test)]
        mod list {
            #[test]
            fn every_rule_is_listed_once() {
                $(
                    let source = include_str!(concat!(stringify!($part), ".rs"));
                    let written: Vec<&str> = source
                        .lines()
                        .filter_map(|line| line.strip_prefix("pub async fn ")?.split('(').next())
                        .collect();
                    let mut listed = vec![$(stringify!($rule)),*];
                    let mut sorted = written.clone();
                    listed.sort_unstable();
                    sorted.sort_unstable();
                    assert_eq!(listed, sorted, concat!("the list of ", stringify!($part)));
                )*
            }
        }
    };
}
pub(crate) use suite;
