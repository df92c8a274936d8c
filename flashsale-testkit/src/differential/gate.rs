//! Random steps for two gates: requests, time, updates that fit and that do not, loads, losses.

use std::fmt::Debug;
use std::time::Duration;

use flashsale_core::ManualClock;
use flashsale_core::id::ContentHash;
use flashsale_core::sale::{SaleState, Window};
use flashsale_core::stock::{
    Answers, Bought, Door, Epoch, HoldNo, ItemLevel, Level, Load, Nonce, OrderState, Reservation, Reserve,
    ReserveRefusal, Reserved, Settled, Standing, StockGate, Update, Version,
};
use flashsale_core::{Clock, SaleId, Timestamp};

use super::{Dice, Seen};
use crate::sample::{HOLD, buyer, item, order, reserve, sale_id, units, version};

const ITEMS: [&str; 3] = ["a", "b", "c"];
const BUYERS: [&str; 5] = ["ann", "bob", "cid", "dan", "Ann"];

/// Runs the same `steps` on two empty gates of one clock.
///
/// # Panics
/// Where an answer differs, naming `seed`, the step and what was asked.
pub async fn gates(a: &impl StockGate, b: &impl StockGate, clock: &ManualClock, steps: u32, seed: u64) -> Seen {
    let (sale, seen) = (sale_id("drop"), Seen::default());
    let mut run = Run { dice: Dice::new(seed), sale, nonce: 1, epoch: 0, at: 1, seed, step: 0, seen };
    for step in 0..steps {
        run.step = step;
        run.step(a, b, clock).await;
        run.compare_levels(a, b).await;
    }
    run.seen
}

struct Run {
    dice: Dice,
    sale: SaleId,
    /// The nonce that was handed out last; some are used that are not.
    nonce: u64,
    epoch: u64,
    /// The version that the gates stand at, if they are open.
    at: u64,
    seed: u64,
    step: u32,
    seen: Seen,
}

impl Run {
    fn same<T: Debug + PartialEq>(&self, asked: &dyn Debug, a: &T, b: &T) {
        assert_eq!(a, b, "seed {}, step {}: {asked:?}", self.seed, self.step);
    }

    async fn step(&mut self, a: &impl StockGate, b: &impl StockGate, clock: &ManualClock) {
        match self.dice.roll(40) {
            0..=19 => {
                let batch: Vec<Reserve> = (0..self.dice.roll(6)).map(|_| self.request()).collect();
                let (x, y) = (a.reserve(&self.sale, &batch).await, b.reserve(&self.sale, &batch).await);
                let told = x.expect("reserve");
                self.same(&batch, &told, &y.expect("reserve"));
                self.note(&told);
            }
            20..=27 => {
                let update = self.update(a).await;
                let (x, y) = (a.sync(&self.sale, &update).await, b.sync(&self.sale, &update).await);
                let done = x.expect("sync");
                self.same(&update, &done, &y.expect("sync"));
                if done == flashsale_core::stock::Synced::Done {
                    self.at = update.to.v;
                    self.seen.note(if update.sealed > HoldNo(0) { "synced and sealed" } else { "synced" });
                }
            }
            28..=31 => clock.advance(Duration::from_millis(self.dice.roll(150))),
            32..=33 => {
                let page = self.page();
                let nonce = self.some_nonce();
                let (x, y) = (a.answers(&self.sale, nonce, &page).await, b.answers(&self.sale, nonce, &page).await);
                self.same(&page, &x.expect("answers"), &y.expect("answers"));
            }
            34 => {
                let nonce = self.some_nonce();
                a.forget(&self.sale, nonce).await.expect("forget");
                b.forget(&self.sale, nonce).await.expect("forget");
            }
            35..=36 => {
                self.nonce += 1;
                let nonce = Nonce(self.nonce);
                let (x, y) = (a.begin(&self.sale, nonce).await, b.begin(&self.sale, nonce).await);
                self.same(&nonce, &x.expect("begin"), &y.expect("begin"));
            }
            _ => self.load(a, b, clock.now()).await,
        }
    }

    fn note(&mut self, told: &Reservation) {
        let Reservation::Answers(answers) = told else { return self.seen.note("not loaded") };
        for answer in answers {
            self.seen.note(match answer {
                Ok(Reserved::Held(_)) => "held",
                Ok(Reserved::Done(_)) => "done",
                Err(ReserveRefusal::Waitlist { .. }) => "waitlist",
                Err(refusal) => refusal.code(),
            });
        }
    }

    async fn load(&mut self, a: &impl StockGate, b: &impl StockGate, now: Timestamp) {
        self.epoch += 1;
        let nonce = a.level(&self.sale).await.expect("level").nonce.unwrap_or(Nonce(0));
        let nonce = if self.dice.once_in(8) { self.some_nonce() } else { nonce };
        let load = Load {
            nonce,
            epoch: Epoch(self.epoch),
            version: version(self.at),
            door: self.door(now),
            items: ITEMS.iter().map(|name| self.level(name)).collect(),
        };
        let (x, y) = (a.load(&self.sale, &load).await, b.load(&self.sale, &load).await);
        self.same(&load, &x.expect("load"), &y.expect("load"));
    }

    fn some_nonce(&mut self) -> Nonce {
        Nonce(self.nonce.saturating_sub(self.dice.roll(3)))
    }

    fn level(&mut self, name: &str) -> ItemLevel {
        let (free, limit) = (self.dice.roll(12) as u32, units(1 + self.dice.roll(4)));
        ItemLevel { item: item(name), free, limit, waiting: self.dice.once_in(10) }
    }

    fn door(&mut self, now: Timestamp) -> Door {
        let ms = |ms| Duration::from_millis(ms);
        let window = match self.dice.roll(12) {
            0 => Window { opens_at: now.after(ms(60)), closes_at: Timestamp::FAR },
            1 => Window { opens_at: Timestamp::from_ms(0), closes_at: now.after(ms(60)) },
            _ => Window::ALWAYS,
        };
        let state =
            self.dice.pick(&[[SaleState::Open; 12].to_vec(), vec![SaleState::Paused, SaleState::Closed]].concat());
        Door { state, window, hold: HOLD + ms(self.dice.roll(3) * 50) }
    }

    fn id(&mut self) -> String {
        format!("{}~{}", self.dice.pick(&BUYERS), self.dice.roll(6))
    }

    fn lines(&mut self) -> Vec<(&'static str, u64)> {
        let first = self.dice.roll(3) as usize;
        let mut lines = vec![(ITEMS[first], 1 + self.dice.roll(3))];
        if self.dice.once_in(3) {
            lines.push((ITEMS[(first + 1) % 3], 1 + self.dice.roll(3)));
        }
        if self.dice.once_in(30) {
            lines.push(("unknown", 1));
        }
        lines
    }

    fn request(&mut self) -> Reserve {
        let (id, lines) = (self.id(), self.lines());
        let standing = if self.dice.once_in(5) { Standing::Offer } else { Standing::Public };
        // Few different contents, so that repeats are met as often as conflicts.
        let hash = ContentHash(1 + self.dice.roll(2) / (1 + self.dice.roll(3)));
        Reserve { standing, hash, ..reserve(&id, &lines) }
    }

    fn settled(&mut self, v: u64) -> Settled {
        let hash = if self.dice.once_in(6) { ContentHash::FENCE } else { ContentHash(1 + self.dice.roll(2)) };
        let state = self.dice.pick(&OrderState::ALL);
        Settled { id: order(&self.id()), hash, state, v: v.saturating_sub(self.dice.roll(3)) }
    }

    fn bought(&mut self, v: u64) -> Bought {
        let (what, who) = (self.dice.pick(&ITEMS), self.dice.pick(&BUYERS));
        let v = v.saturating_sub(self.dice.roll(3));
        Bought { item: item(what), buyer: buyer(who), units: self.dice.roll(4) as u32, v }
    }

    fn page(&mut self) -> Answers {
        let v = self.at + self.dice.roll(2);
        let orders = (0..self.dice.roll(3)).map(|_| self.settled(v)).collect();
        let bought = (0..self.dice.roll(3)).map(|_| self.bought(v)).collect();
        Answers { orders, bought, next: None }
    }

    /// An update that fits in most cases: from where the gate stands, sealing what is due.
    async fn update(&mut self, gate: &impl StockGate) -> Update {
        let due = gate.due(&self.sale).await.expect("due");
        let now = gate.level(&self.sale).await.expect("level").now;
        let (nonce, from) = due.map_or((Nonce(0), version(1)), |due| (due.nonce, due.version));
        let from = match self.dice.roll(12) {
            0 => Version { v: from.v + 1, ..from },
            1 => Version { tag: from.tag ^ 1, ..from },
            _ => from,
        };
        let to = from.v + self.dice.roll(3);
        let sealed = due.filter(|_| self.dice.once_in(2)).map_or(HoldNo(0), |due| due.lapsed);
        let nonce = match self.dice.roll(8) {
            0 => None,
            1 => Some(self.some_nonce()),
            _ => Some(nonce),
        };
        let names: Vec<&str> = ITEMS.iter().copied().filter(|_| self.dice.once_in(2)).collect();
        Update {
            nonce,
            from,
            to: version(to),
            sealed,
            door: self.door(now),
            items: names.iter().map(|name| self.level(name)).collect(),
            orders: (0..self.dice.roll(3)).map(|_| self.settled(to)).collect(),
            bought: (0..self.dice.roll(3)).map(|_| self.bought(to)).collect(),
        }
    }

    async fn compare_levels(&self, a: &impl StockGate, b: &impl StockGate) {
        let (x, y) = (a.due(&self.sale).await.expect("due"), b.due(&self.sale).await.expect("due"));
        self.same(&"due", &x, &y);
        let sorted = |level: Level| {
            let mut items = level.items.clone();
            items.sort_unstable();
            // A gate that is being loaded may show what it has of its items so far.
            if level.open { Level { items, ..level } } else { Level { items: vec![], next: HoldNo(0), ..level } }
        };
        let (x, y) = (a.level(&self.sale).await.expect("level"), b.level(&self.sale).await.expect("level"));
        self.same(&"level", &sorted(x), &sorted(y));
    }
}
