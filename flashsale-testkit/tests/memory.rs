//! The memory backends pass every suite.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flashsale_core::engine::{TokioHost, WalletGateway};
use flashsale_core::event::InProcess;
use flashsale_core::payment::{Scripted, WalletLedger};
use flashsale_testkit::{Fixture, MemoryGates, MemoryLedgers, MemoryLogs, MemoryRooms, sample};

flashsale_testkit::room_store_suite!(MemoryRooms::default());
flashsale_testkit::stock_gate_suite!(MemoryGates::default());
flashsale_testkit::stock_ledger_suite!(MemoryLedgers::default());
flashsale_testkit::order_ledger_suite!(MemoryLedgers::default());
flashsale_testkit::coupon_ledger_suite!(MemoryLedgers::default());
flashsale_testkit::wallet_ledger_suite!(MemoryLedgers::default());
flashsale_testkit::waitlist_ledger_suite!(MemoryLedgers::default());
flashsale_testkit::outbox_suite!(MemoryLedgers::default());
flashsale_testkit::dead_letters_suite!(MemoryLedgers::default());
flashsale_testkit::notice_ledger_suite!(MemoryLedgers::default());
flashsale_testkit::event_bus_suite!(Bus);
flashsale_testkit::intake_log_suite!(MemoryLogs);

/// The bus of one process: sink and source in one.
struct Bus;

#[async_trait]
impl Fixture for Bus {
    type Port = (InProcess, InProcess);

    async fn fresh(&self) -> (InProcess, InProcess) {
        let bus = InProcess::default();
        (bus.clone(), bus)
    }

    async fn advance(&self, _: Duration) {}
}

/// Gateways to the world.
mod scripted {
    use super::*;

    struct Approving;

    #[async_trait]
    impl Fixture for Approving {
        type Port = Scripted;

        async fn fresh(&self) -> Scripted {
            Scripted::approves()
        }

        async fn advance(&self, _: Duration) {}
    }

    flashsale_testkit::payment_gateway_suite!(Approving);
}

mod wallet {
    use super::*;

    /// The wallet as a gateway, with 10,000 in the buyer's.
    struct Funded;

    #[async_trait]
    impl Fixture for Funded {
        type Port = WalletGateway;

        async fn fresh(&self) -> WalletGateway {
            let ledger = MemoryLedgers::default().fresh().await;
            let money = flashsale_core::payment::WalletAct::Charge { amount: sample::amount(10_000) };
            let charge = flashsale_core::payment::WalletRequest::new(&sample::buyer("ann"), &sample::key("put"), money);
            ledger.wallet(&[charge]).await.expect("wallet").remove(0).expect("charged");
            let ledger: Arc<dyn WalletLedger> = Arc::new(ledger);
            WalletGateway::new(&TokioHost::shared(), &ledger, &sample::buyer("shop"))
        }

        async fn advance(&self, _: Duration) {}
    }

    flashsale_testkit::payment_gateway_suite!(Funded);
}

/// A notifier for tests keeps the rules of notifiers.
mod recorded {
    use super::*;
    use flashsale_core::notice::{NoticeKey, Outcome, Recorded, Unsendable};
    use flashsale_testkit::suite::notifier::Notifiers;

    struct Records;

    #[async_trait]
    impl Fixture for Records {
        type Port = Recorded;

        async fn fresh(&self) -> Recorded {
            Recorded::saying(|notice, _| match notice.to.as_str() {
                "nobody" => Outcome::Refused(Unsendable::Rejected),
                _ => Outcome::HandedOver,
            })
        }

        async fn advance(&self, _: Duration) {}
    }

    #[async_trait]
    impl Notifiers for Records {
        async fn arrived(&self, port: &Recorded) -> Vec<NoticeKey> {
            port.handed_over().into_iter().map(|notice| notice.key).collect()
        }

        fn refused(&self) -> Option<&'static str> {
            Some("nobody")
        }
    }

    flashsale_testkit::notifier_suite!(Records);
}

/// The reference model is a gate, too: what it is compared by must hold for it.
mod model {
    use super::*;
    use flashsale_core::ManualClock;
    use flashsale_testkit::model::ModelGate;

    struct Models(Arc<ManualClock>);

    #[async_trait]
    impl Fixture for Models {
        type Port = ModelGate;

        async fn fresh(&self) -> ModelGate {
            ModelGate::new(self.0.clone())
        }

        async fn advance(&self, by: Duration) {
            self.0.advance(by);
        }

        async fn restart(&self, _: ModelGate) -> Option<ModelGate> {
            Some(self.fresh().await)
        }
    }

    flashsale_testkit::stock_gate_suite!(Models(flashsale_testkit::fixture::clock()));
}

/// The same of the waiting room.
mod model_room {
    use super::*;
    use flashsale_core::ManualClock;
    use flashsale_testkit::model::ModelRooms;

    struct Models(Arc<ManualClock>);

    #[async_trait]
    impl Fixture for Models {
        type Port = ModelRooms;

        async fn fresh(&self) -> ModelRooms {
            ModelRooms::new(self.0.clone())
        }

        async fn advance(&self, by: Duration) {
            self.0.advance(by);
        }

        async fn restart(&self, _: ModelRooms) -> Option<ModelRooms> {
            Some(self.fresh().await)
        }
    }

    flashsale_testkit::room_store_suite!(Models(flashsale_testkit::fixture::clock()));
}

/// What is lost with a store, and what tickets bring back.
mod lost_tail {
    use super::*;
    use flashsale_core::RoomId;
    use flashsale_core::queue::{Enter, Number, RoomStore, Standing, Terms};

    /// Hole 36: a failover loses the end of the line. Tickets give the places back, in order, and no number is given twice to those who ask with one.
    #[test]
    fn tickets_bring_the_end_of_a_line_back() {
        flashsale_testkit::run(async {
            let store = MemoryRooms::default().fresh().await;
            let room = RoomId::new("drop").expect("a name");
            let terms = Terms { opens_above: 0, closes_below: 0, ..Terms::default() };
            let generation = store.open(&room, &terms).await.expect("open").generation;
            let enter = |n: u64, no: Option<u64>| Enter {
                member: sample::buyer(&format!("m{n}")),
                ticket: no.map(|no| Number { generation, no }),
            };
            let first: Vec<Enter> = (1..=50).map(|n| enter(n, None)).collect();
            store.enter(&room, &first).await.expect("enter");
            let before = store.snapshot();
            let tail: Vec<Enter> = (51..=100).map(|n| enter(n, None)).collect();
            store.enter(&room, &tail).await.expect("enter");
            store.lose_since(&before);
            // The last comes back first; strangers come in between.
            for n in (51..=100).rev() {
                store.enter(&room, &[enter(n, Some(n)), enter(1_000 + n, None)]).await.expect("enter");
            }
            let everybody: Vec<_> = (1..=100).map(|n| enter(n, None).member).collect();
            let places = store.place(&room, &everybody).await.expect("place").expect("open").places;
            for (n, place) in (1..=100).zip(places) {
                let place = place.expect("a place");
                assert_eq!(place.number.no, n);
                let Standing::Waiting { ahead } = place.standing else { panic!("{place:?}") };
                // At most: every number before his may stand in the line and before it.
                assert!(ahead >= n - 1 && ahead < 2 * n + 50, "{n}: {ahead}");
            }
            assert_eq!(store.levels(&room).await.expect("levels").expect("open").issued, 150);
        });
    }
}

/// What only a ledger that can be put back can show.
mod rewind {
    use super::*;
    use flashsale_core::order::OrderLedger;
    use flashsale_core::stock::{Adopted, Epoch, Followed, HoldNo, Nonce, StockLedger};
    use flashsale_testkit::sample::{accept, held, order, sale};

    /// Hole 19: after a failover to an older state the same numbers are written again, with other tags: the follower notices.
    #[test]
    fn a_ledger_that_was_put_back_is_noticed_even_at_the_same_number() {
        flashsale_testkit::run(async {
            let ledger = MemoryLedgers::default().fresh().await;
            let terms = sale("drop", &[("a", 5, 0, 5)]);
            ledger.open(&terms).await.expect("open").expect("new");
            let adopted = ledger.adopt(&terms.id, Nonce(7), Epoch(0)).await.expect("adopt");
            assert!(matches!(adopted, Adopted::Yes(_)));
            let before = ledger.snapshot();
            let lost = ledger.accept(&terms.id, &[held(1, 1, accept("ann~1", &[("a", 1)]))]).await.expect("accept");
            let copied = lost.update.expect("an update").to;
            ledger.restore(before);
            assert_eq!(ledger.load(&[order("ann~1")]).await.expect("load").0, [None]);
            let follow = async || ledger.follow(&terms.id, Nonce(7), copied, HoldNo(0)).await.expect("follow");
            assert_eq!(follow().await, Followed::Rewound, "the number is not there");
            let other = ledger.accept(&terms.id, &[held(1, 2, accept("bob~1", &[("a", 1)]))]).await.expect("accept");
            let other = other.update.expect("an update").to;
            assert_eq!(other.v, copied.v);
            assert_eq!(follow().await, Followed::Rewound, "the number is there, the tag is not");
            assert_eq!(ledger.audit(), Vec::<String>::new());
        });
    }
}
