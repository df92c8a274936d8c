//! A Redis of its own with an open gate on it, and what is asked of the gate.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use flashsale_core::sale::{SaleState, Window};
use flashsale_core::stock::{
    Bought, Door, Epoch, HoldNo, ItemLevel, Load, Nonce, OrderState, Reservation, Reserve, Reserved, Settled,
    StockGate, Synced, Update, Version,
};
use flashsale_core::{ItemId, Quantity, SaleId};
use flashsale_redis::{RedisBackend, RedisConfig, RedisStockGate};
use futures_util::stream::{self, StreamExt};

use super::rival::all;
use crate::Failure;
use crate::gate::ITEM;

/// Batches, or updates, that are under way at the same time.
const IN_FLIGHT: usize = 4;
const NONCE: Nonce = Nonce(0x6e6f_6e63_6521_2121);
/// No hold ends by itself while it is measured.
const DOOR: Door = Door { state: SaleState::Open, window: Window::ALWAYS, hold: Duration::from_secs(3_600) };

/// Requests, cut into batches before the clock starts.
pub(super) type Batches = Arc<[Vec<Reserve>]>;

pub(super) fn cut(requests: &[Reserve], size: usize) -> Batches {
    requests.chunks(size).map(<[Reserve]>::to_vec).collect()
}

/// An open gate of one sale.
pub(super) struct Sale {
    gate: RedisStockGate,
    sale: SaleId,
    at: Version,
    free: u32,
    settled: u64,
}

impl Sale {
    /// Opens a sale with so many units.
    pub(super) async fn open(url: &str, name: &str, free: u32) -> Result<Self, Failure> {
        let config = RedisConfig::new(url)?.response_timeout(Duration::from_secs(30))?;
        let gate = RedisBackend::with(config).await?.gate();
        let sale = SaleId::new(name)?;
        let at = Version { v: 1, tag: 0x5eed_5eed_5eed_5eed };
        gate.begin(&sale, NONCE).await?;
        let load = Load { nonce: NONCE, epoch: Epoch(1), version: at, door: DOOR, items: vec![level(free)?] };
        done(gate.load(&sale, &load).await?)?;
        Ok(Self { gate, sale, at, free, settled: 0 })
    }

    /// Reserves, [`IN_FLIGHT`] batches at a time, and tells how many requests are held.
    pub(super) async fn reserve(&self, batches: &Batches) -> Result<usize, Failure> {
        let next = Arc::new(AtomicUsize::new(0));
        all((0..IN_FLIGHT).map(|_| {
            let (next, batches, gate, sale) = (next.clone(), batches.clone(), self.gate.clone(), self.sale.clone());
            async move {
                let mut held = 0;
                while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match gate.reserve(&sale, batch).await.map_err(|why| why.to_string())? {
                        Reservation::Answers(answers) => {
                            held += answers.iter().filter(|answer| matches!(answer, Ok(Reserved::Held(_)))).count();
                        }
                        Reservation::NotLoaded => return Err("the gate is not loaded".into()),
                    }
                }
                Ok(held)
            }
        }))
        .await
    }

    /// Makes the updates in which these orders were accepted, a batch each.
    pub(super) fn accepted(&mut self, batches: &Batches) -> Result<Vec<Update>, Failure> {
        let item = ItemId::new(ITEM)?;
        let mut updates = Vec::with_capacity(batches.len());
        for batch in batches.iter() {
            self.free -= u32::try_from(batch.len())?;
            let mut update = self.update(0)?;
            let v = update.to.v;
            for request in batch {
                let (id, hash) = (request.id.clone(), request.hash);
                update.bought.push(Bought { item: item.clone(), buyer: id.buyer(), units: 1, v });
                update.orders.push(Settled { id, hash, state: OrderState::Accepted, v });
            }
            updates.push(update);
        }
        Ok(updates)
    }

    /// Makes the update that ends the oldest so many holds.
    pub(super) fn lapsed(&mut self, holds: u64) -> Result<Update, Failure> {
        self.update(holds)
    }

    fn update(&mut self, lapsed: u64) -> Result<Update, Failure> {
        self.settled += lapsed;
        let to = Version { v: self.at.v + 1, ..self.at };
        let update = Update {
            nonce: Some(NONCE),
            from: self.at,
            to,
            sealed: HoldNo(self.settled),
            door: DOOR,
            items: vec![level(self.free)?],
            orders: Vec::new(),
            bought: Vec::new(),
        };
        self.at = to;
        Ok(update)
    }

    /// Copies updates in their order, [`IN_FLIGHT`] under way at the same time: each is refused unless the one before is done.
    pub(super) async fn sync(&self, updates: &[Update]) -> Result<(), Failure> {
        // Each is sent when it is first polled; a task that has had its share would put that off and let a later one pass.
        let ask = |update| tokio::task::unconstrained(self.gate.sync(&self.sale, update));
        let mut answers = stream::iter(updates).map(ask).buffered(IN_FLIGHT);
        while let Some(answer) = answers.next().await {
            done(answer?)?;
        }
        Ok(())
    }

    /// Fails unless so many holds are live.
    pub(super) async fn expect_live(&self, holds: u64) -> Result<(), Failure> {
        let level = self.gate.level(&self.sale).await?;
        if level.holds == holds { Ok(()) } else { Err(format!("{} live holds, not {holds}", level.holds).into()) }
    }
}

fn level(free: u32) -> Result<ItemLevel, Failure> {
    Ok(ItemLevel { item: ItemId::new(ITEM)?, free, limit: Quantity::MIN, waiting: false })
}

fn done(synced: Synced) -> Result<(), Failure> {
    match synced {
        Synced::Done => Ok(()),
        Synced::Refused => Err("the gate refuses an update".into()),
    }
}
