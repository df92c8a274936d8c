//! Turns end when their members have what they came for: an order in the ledger frees its buyer's capacity in the room before the sale.

use std::collections::BTreeMap;
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

/// The rooms' consumer.
#[derive(Debug)]
pub(crate) struct TurnsConsumer(pub(crate) Rooms);

impl TurnsConsumer {
    pub(crate) const GROUP: &'static str = "queue";

    /// Ends the turns of members who ordered then: two steps of the store, however many they are.
    async fn finish(&self, room: &RoomId, orders: &BTreeMap<BuyerId, Timestamp>) -> Result<(), BackendError> {
        let Some(room) = self.0.find(room).await? else { return Ok(()) };
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
            self.finish(room, orders).await?;
        }
        Ok(())
    }
}
