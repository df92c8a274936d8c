//! Turns end when their members have what they came for: an order in the ledger frees its buyer's capacity in the room before the sale.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use crate::engine::handler::{Consumer, Failed};
use crate::engine::room::asked;
use crate::engine::rooms::Rooms;
use crate::error::BackendError;
use crate::event::{Event, Fact};
use crate::id::{BuyerId, RoomId, SaleId};
use crate::queue::{Place, Standing, Terms};
use crate::time::Timestamp;

/// How far the clocks of ledger and room may be apart. A turn that begins later than this after an order is another one.
const SKEW: Duration = Duration::from_secs(2);

/// How long a store that does not answer is left alone.
const SILENT: Duration = Duration::from_secs(1);

/// The rooms' consumer. A turn that it does not end goes by in its own time, so it holds nothing up: where the store of rooms does not answer, the event is taken
/// up all the same.
#[derive(Debug)]
pub(crate) struct TurnsConsumer {
    rooms: Rooms,
    /// Until when the store is not asked, in milliseconds.
    silent_until: AtomicI64,
}

impl TurnsConsumer {
    pub(crate) const GROUP: &'static str = "queue";

    pub(crate) fn new(rooms: Rooms) -> Self {
        Self { rooms, silent_until: AtomicI64::new(0) }
    }

    /// Ends the turns of members who ordered then: two steps of the store, however many they are.
    async fn finish(&self, room: &RoomId, orders: &BTreeMap<BuyerId, Timestamp>) -> Result<(), BackendError> {
        let Some(room) = self.rooms.find(room).await? else { return Ok(()) };
        let opened = &room.0.store;
        let mut done: Vec<BuyerId> = orders.keys().cloned().collect();
        let told = asked!(opened, place(&done));
        // An event may come again when its buyer has the next turn already.
        let mut began = told.places.iter().zip(orders.values()).map(|(place, ordered_at)| {
            place.and_then(|place| began(place, &told.levels.terms)).is_some_and(|at| at <= ordered_at.after(SKEW))
        });
        done.retain(|_| began.next() == Some(true));
        if done.is_empty() {
            return Ok(());
        }
        let told = asked!(opened, finish(&done));
        for (member, place) in done.iter().zip(told.places) {
            room.ended(member, place, &told.levels);
        }
        Ok(())
    }
}

/// When a live turn began at the latest; `None` for one who has none.
fn began(place: Place, terms: &Terms) -> Option<Timestamp> {
    let Standing::Turn(turn) = place.standing else { return None };
    let used = u32::from(terms.extensions.saturating_sub(turn.extensions_left));
    let lasted = i64::try_from((terms.turn * (used + 1)).as_millis()).unwrap_or(i64::MAX);
    Some(Timestamp::from_ms(turn.until.ms().saturating_sub(lasted)))
}

/// Who ordered in which sale.
fn ordered(event: &Event) -> Option<(&SaleId, &BuyerId)> {
    match &event.fact {
        Fact::OrderAccepted(order) => Some((event.sale.as_ref()?, &order.buyer)),
        _ => None,
    }
}

#[async_trait]
impl Consumer for TurnsConsumer {
    fn group(&self) -> &str {
        Self::GROUP
    }

    fn wants(&self, fact: &Fact) -> bool {
        matches!(fact, Fact::OrderAccepted(_))
    }

    async fn handle(&self, events: &[Event]) -> Result<(), Failed> {
        let mut rooms: BTreeMap<RoomId, BTreeMap<BuyerId, Timestamp>> = BTreeMap::new();
        for event in events {
            let Some((sale, buyer)) = ordered(event) else { continue };
            let latest = rooms.entry(sale.into()).or_default().entry(buyer.clone()).or_insert(event.time);
            *latest = event.time.max(*latest);
        }
        for (room, orders) in &rooms {
            let now = self.rooms.host().now();
            if now.ms() < self.silent_until.load(Ordering::Relaxed) {
                break;
            }
            if let Err(error) = self.finish(room, orders).await {
                tracing::warn!(%room, %error, "turns of members who ordered go by in their own time");
                self.silent_until.store(now.after(SILENT).ms(), Ordering::Relaxed);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::engine::host::TokioHost;
    use crate::event::OrderFact;
    use crate::id::{ItemId, Key, OrderId};
    use crate::memory::MemoryRoomStore;
    use crate::queue::{Keyring, Pace};
    use crate::sale::Lines;
    use crate::time::{Clock, ManualClock};
    use crate::unit::{Money, Quantity, won};

    const TURN: Duration = Duration::from_secs(60);

    /// A room that lets everybody in at once, and its consumer.
    struct Bench {
        clock: Arc<ManualClock>,
        rooms: Rooms,
        sale: SaleId,
    }

    impl Bench {
        async fn open() -> Self {
            let clock = ManualClock::starting(Timestamp::from_ms(1_800_000_000_000));
            let shared: Arc<dyn Clock> = clock.clone();
            let host = TokioHost::with_clock(shared.clone());
            let rooms = Rooms::new(host, Arc::new(MemoryRoomStore::new(shared)), Keyring::of_random([1, 2, 3, 4]));
            let pace = Pace { admits: 1_000_000, per: Duration::from_secs(1) };
            let terms = Terms { opens_above: 0, closes_below: 0, pace, turn: TURN, ..Terms::default() };
            let sale = SaleId::new("drop").unwrap();
            rooms.open(&(&sale).into(), &terms).await.unwrap();
            Self { clock, rooms, sale }
        }

        /// A member takes a place and gets his turn.
        async fn turn(&self, member: &BuyerId) {
            let room = self.rooms.known(&(&self.sale).into()).unwrap();
            room.enter(member, None).await.unwrap();
            self.clock.advance(Duration::from_secs(1));
            let admitted = room.0.store.store.admit(room.id(), 10).await.unwrap().unwrap();
            assert_eq!(admitted.admitted, 1);
        }

        async fn has_turn(&self, member: &BuyerId) -> bool {
            let room = self.rooms.known(&(&self.sale).into()).unwrap();
            let view = room.place(member).await.unwrap();
            view.is_some_and(|view| matches!(view.place.standing, Standing::Turn(_)))
        }

        /// That a member's order was accepted now.
        fn ordered(&self, member: &BuyerId) -> Event {
            let order = OrderId::of(member, &Key::new("key-1").unwrap());
            let fact = OrderFact {
                order: order.clone(),
                buyer: member.clone(),
                lines: Lines::one(&ItemId::new("unit").unwrap(), Quantity::MIN),
                list: won(1),
                discount: Money::ZERO,
                pays: won(1),
                coupon: None,
                method: None,
                pay_by: None,
                no: None,
            };
            let (subject, time) = (order.as_str().to_owned(), self.clock.now());
            let sale = Some(self.sale.clone());
            Event { subject, version: 1, sale, time, trace: None, fact: Fact::OrderAccepted(fact) }
        }

        async fn take_up(&self, events: &[Event]) {
            TurnsConsumer::new(self.rooms.clone()).handle(events).await.unwrap();
        }
    }

    #[tokio::test]
    async fn an_order_ends_its_buyer_s_turn_and_no_other() {
        let bench = Bench::open().await;
        let [ann, bob] = ["ann", "bob"].map(|name| BuyerId::new(name).unwrap());
        bench.turn(&ann).await;
        bench.turn(&bob).await;
        bench.take_up(&[bench.ordered(&ann)]).await;
        assert!(!bench.has_turn(&ann).await && bench.has_turn(&bob).await);
    }

    #[tokio::test]
    async fn an_event_that_comes_again_does_not_end_a_later_turn() {
        let bench = Bench::open().await;
        let ann = BuyerId::new("ann").unwrap();
        bench.turn(&ann).await;
        let event = bench.ordered(&ann);
        bench.take_up(std::slice::from_ref(&event)).await;
        bench.clock.advance(Duration::from_secs(10));
        bench.turn(&ann).await;
        bench.take_up(std::slice::from_ref(&event)).await;
        assert!(bench.has_turn(&ann).await, "it is of the turn before");
        bench.take_up(&[event, bench.ordered(&ann)]).await;
        assert!(!bench.has_turn(&ann).await);
    }

    #[tokio::test]
    async fn a_turn_that_was_made_longer_ends_with_the_order_all_the_same() {
        let bench = Bench::open().await;
        let ann = BuyerId::new("ann").unwrap();
        bench.turn(&ann).await;
        bench.rooms.known(&(&bench.sale).into()).unwrap().extend(&ann).await.unwrap();
        bench.take_up(&[bench.ordered(&ann)]).await;
        assert!(!bench.has_turn(&ann).await);
    }

    #[tokio::test]
    async fn an_order_of_a_sale_without_a_room_concerns_nobody() {
        let bench = Bench::open().await;
        let ann = BuyerId::new("ann").unwrap();
        bench.turn(&ann).await;
        let elsewhere = Some(SaleId::new("other").unwrap());
        bench
            .take_up(&[Event { sale: elsewhere, ..bench.ordered(&ann) }, Event { sale: None, ..bench.ordered(&ann) }])
            .await;
        assert!(bench.has_turn(&ann).await);
    }
}
