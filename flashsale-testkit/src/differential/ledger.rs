//! Random steps for two ledgers on one clock. Tags are their own; what an update *means* is compared on a mirror of each.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use flashsale_core::coupon::CouponLedger;
use flashsale_core::event::{Event, Outbox, OutboxNo};
use flashsale_core::order::{Append, Appended, Input, OrderQuery, Policy, Units, Verdict, step};
use flashsale_core::payment::{Capture, Charge, DeclineReason, Outcome, PaymentKey, WalletLedger, WalletRequest};
use flashsale_core::sale::{SaleState, Window};
use flashsale_core::stock::{
    Accept, Acceptance, Adopted, Cancel, Cancelled, Change, Door, Epoch, Followed, HoldNo, Nonce, OrderState, Reason,
    Then, Update, Version,
};
use flashsale_core::waitlist::{
    Join, JoinRefusal, Joined, Leave, Left, Parting, WaitlistLedger, Wish, WishState, plan,
};
use flashsale_core::{Clock, CouponId, ItemId, ManualClock, OrderId, SaleId, Timestamp};

use super::{Dice, Seen};
use crate::sample::{accept, amount, buyer, claim, coupon, held, item, key, order, sale, sale_id, units, with_coupon};
use crate::suite::wallet_ledger::{charge, payment_key, request, to_pay, trade, withdraw};

/// All ledger ports of one database.
pub trait FullLedger: WaitlistLedger + CouponLedger + WalletLedger + Outbox {}
impl<T: WaitlistLedger + CouponLedger + WalletLedger + Outbox> FullLedger for T {}

const MEMBERS: [&str; 6] = ["ann", "bob", "cid", "dan", "Ann", "ann-2"];

/// Runs the same `steps` on two empty ledgers of one clock.
///
/// # Panics
/// Where an answer differs in more than its tags, naming `seed`, the step and what was asked.
pub async fn ledgers(a: &impl FullLedger, b: &impl FullLedger, clock: &ManualClock, steps: u32, seed: u64) -> Seen {
    let mut run = Run {
        dice: Dice::new(seed),
        sale: sale_id("drop-0"),
        drops: 0,
        at: Vec::new(),
        mirrors: Default::default(),
        epoch: 0,
        nonce: 0,
        next_no: 1,
        seed,
        step: 0,
        seen: Seen::default(),
    };
    let window = sale("plant:w1", &[("coupon", 4, 0, 1)]);
    run.same(&"open", &a.open(&window).await.ok(), &b.open(&window).await.ok());
    run.open(a, b).await;
    for step in 0..steps {
        run.step = step;
        run.step(a, b, clock).await;
        run.compare(a, b).await;
    }
    run.seen
}

/// What somebody knows who has copied every update.
#[derive(Debug, Default, PartialEq)]
struct Mirror {
    v: u64,
    sealed: HoldNo,
    door: Option<Door>,
    items: BTreeMap<ItemId, (u32, u32, bool)>,
    orders: BTreeMap<OrderId, (u64, OrderState, u64)>,
    bought: BTreeMap<(ItemId, String), u32>,
}

impl Mirror {
    fn copy(&mut self, update: &Update) {
        (self.v, self.sealed, self.door) = (update.to.v, update.sealed, Some(update.door));
        for level in &update.items {
            self.items.insert(level.item.clone(), (level.free, level.limit.units(), level.waiting));
        }
        for settled in &update.orders {
            self.orders.insert(settled.id.clone(), (settled.hash.0, settled.state, settled.v));
        }
        for bought in &update.bought {
            self.bought.insert((bought.item.clone(), bought.buyer.to_string()), bought.units);
        }
        self.bought.retain(|_, units| *units > 0);
    }
}

struct Run {
    dice: Dice,
    sale: SaleId,
    /// How many sales were opened: one that was closed is followed by another.
    drops: u32,
    /// The versions of both, by number.
    at: Vec<[Version; 2]>,
    mirrors: [Mirror; 2],
    epoch: u64,
    nonce: u64,
    next_no: u64,
    seed: u64,
    step: u32,
    seen: Seen,
}

impl Run {
    fn same<T: Debug + PartialEq>(&self, asked: &dyn Debug, a: &T, b: &T) {
        assert_eq!(a, b, "seed {}, step {}: {asked:?}", self.seed, self.step);
    }

    /// Copies what both told; one that tells what the other does not is found here.
    fn copy(&mut self, asked: &dyn Debug, a: Option<Update>, b: Option<Update>) {
        self.same(asked, &a.is_some(), &b.is_some());
        let (Some(a), Some(b)) = (a, b) else { return };
        self.same(asked, &(a.nonce, a.from.v, a.to.v), &(b.nonce, b.from.v, b.to.v));
        for (mirror, update) in self.mirrors.iter_mut().zip([&a, &b]) {
            mirror.copy(update);
        }
        let [x, y] = &self.mirrors;
        self.same(asked, x, y);
        if self.at.last().is_none_or(|[last, _]| last.v < a.to.v) {
            self.at.push([a.to, b.to]);
        }
    }

    /// Opens the next sale and begins its story anew.
    async fn open(&mut self, a: &impl FullLedger, b: &impl FullLedger) {
        let name = format!("drop-{}", self.drops);
        let terms = sale(&name, &[("a", 12, 10_000, 4), ("b", 6, 500, 2), ("c", 30, 7, 9)]);
        self.same(&terms, &a.open(&terms).await.ok(), &b.open(&terms).await.ok());
        self.sale = terms.id;
        self.drops += 1;
        (self.mirrors, self.epoch, self.next_no) = (Default::default(), 0, 1);
        let version = |totals: Option<flashsale_core::stock::Totals>| totals.expect("it was opened").version;
        let x = version(a.totals(&self.sale).await.expect("totals"));
        let y = version(b.totals(&self.sale).await.expect("totals"));
        self.at = vec![[x, y]];
    }

    async fn step(&mut self, a: &impl FullLedger, b: &impl FullLedger, clock: &ManualClock) {
        match self.dice.roll(140) {
            0..=27 => self.accept(a, b).await,
            28..=34 => self.cancel(a, b).await,
            35..=54 => self.append(a, b).await,
            55..=62 => self.follow(a, b).await,
            63..=66 => self.change(a, b, clock.now()).await,
            67..=68 => self.adopt(a, b).await,
            69..=74 => self.claim(a, b).await,
            75..=82 => self.wallet(a, b).await,
            83..=89 => self.pay(a, b).await,
            90..=92 => self.relay(a, b).await,
            93..=96 => clock.advance(Duration::from_secs(self.dice.roll(300))),
            97..=99 => self.read(a, b).await,
            100..=109 => self.join(a, b).await,
            110..=111 => self.leave(a, b).await,
            112..=121 => self.offer(a, b).await,
            122..=135 => self.answer(a, b).await,
            _ => self.look_at_lines(a, b).await,
        }
    }

    fn a_join(&mut self) -> Join {
        let what = self.dice.pick(&["a", "a", "b", "b", "c", "nothing"]);
        Join { item: item(what), member: buyer(self.dice.pick(&MEMBERS)), units: units(1 + self.dice.roll(3)) }
    }

    async fn join(&mut self, a: &impl FullLedger, b: &impl FullLedger) {
        let batch: Vec<Join> = (0..1 + self.dice.roll(5)).map(|_| self.a_join()).collect();
        let (x, y) = (a.join(&self.sale, &batch).await, b.join(&self.sale, &batch).await);
        let ((x, x_update), (y, y_update)) = (x.expect("join"), y.expect("join"));
        self.same(&batch, &x, &y);
        for answer in &x {
            self.seen.note(match answer {
                Joined::Done(_) => "wished",
                Joined::Already(_) => "wished already",
                Joined::Refused(JoinRefusal::StillAvailable { .. }) => "still available",
                Joined::Refused(_) => "no wish",
            });
        }
        self.copy(&batch, x_update, y_update);
    }

    /// The latest wishes of somebody, the same in both.
    async fn his(&mut self, a: &impl FullLedger, b: &impl FullLedger) -> Vec<Wish> {
        let member = buyer(self.dice.pick(&MEMBERS));
        let (x, y) = (a.wishes(&member, 6).await.expect("wishes"), b.wishes(&member, 6).await.expect("wishes"));
        self.same(&member, &x, &y);
        x
    }

    async fn leave(&mut self, a: &impl FullLedger, b: &impl FullLedger) {
        let mut batch: Vec<Leave> = Vec::new();
        for wish in self.his(a, b).await {
            batch.push(Leave { offer: wish.offer, why: self.dice.pick(&Parting::ALL) });
        }
        let (x, y) = (a.leave(&self.sale, &batch).await, b.leave(&self.sale, &batch).await);
        let ((x, x_update), (y, y_update)) = (x.expect("leave"), y.expect("leave"));
        self.same(&batch, &x, &y);
        for answer in &x {
            self.seen.note(match answer {
                Left::Done(_) => "left",
                Left::Already(_) => "left already",
                Left::Unknown => "no such wish",
            });
        }
        self.copy(&batch, x_update, y_update);
    }

    /// What the plan says, and now and then what it does not.
    async fn offer(&mut self, a: &impl FullLedger, b: &impl FullLedger) {
        let (sale, what) = (self.sale.clone(), item(self.dice.pick(&["a", "b"])));
        let (x, y) = (a.line(&sale, &what, 5).await.expect("line"), b.line(&sale, &what, 5).await.expect("line"));
        self.same(&what, &x, &y);
        let Some(line) = x else { return };
        let planned = plan(&line, Duration::from_secs(200));
        let gathers: Vec<OrderId> = planned.gathers.into_iter().collect();
        self.same(&gathers, &a.gather(&gathers).await.ok(), &b.gather(&gathers).await.ok());
        let mut offers = planned.offers;
        if self.dice.once_in(4) {
            offers = self.his(a, b).await;
        }
        let mut batch: Vec<Accept> = Vec::new();
        for wish in &offers {
            let then = Then::Offer { tell_within: Duration::from_secs(400) };
            let lines = [(wish.item.as_str(), u64::from(wish.units.units()))];
            let mut ask = Accept { then, ..accept(wish.offer.as_str(), &lines) };
            if self.epoch > 0 && !self.dice.once_in(12) {
                self.next_no += 1;
                ask = held(self.epoch, self.next_no, ask);
            }
            batch.push(ask);
        }
        if self.dice.once_in(2) {
            batch.push(self.request());
        }
        let (x, y) = (a.accept(&sale, &batch).await.expect("accept"), b.accept(&sale, &batch).await.expect("accept"));
        self.same(&batch, &x.answers, &y.answers);
        for answer in &x.answers {
            match answer {
                Acceptance::Decided(order) if order.state == OrderState::Offered => self.seen.note("offered"),
                Acceptance::NotOffered(_) => self.seen.note("not offered"),
                _ => {}
            }
        }
        self.copy(&batch, x.update, y.update);
    }

    /// Somebody answers his offers, or lets them lapse; or an operator undoes them.
    async fn answer(&mut self, a: &impl FullLedger, b: &impl FullLedger) {
        let mut wishes = self.his(a, b).await;
        for _ in 0..6 {
            if wishes.iter().any(|wish| wish.state == WishState::Offered) {
                break;
            }
            wishes = self.his(a, b).await;
        }
        let ids: Vec<OrderId> = wishes.iter().map(|wish| wish.offer.clone()).collect();
        let ((x, now), (y, _)) = (a.load(&ids).await.expect("load"), b.load(&ids).await.expect("load"));
        self.same(&ids, &x, &y);
        if self.dice.once_in(10) {
            let batch: Vec<Cancel> = ids.iter().map(|id| Cancel { id: id.clone(), reason: Reason::Operator }).collect();
            let (x, y) = (a.cancel(&self.sale, &batch).await, b.cancel(&self.sale, &batch).await);
            let ((x, x_update), (y, y_update)) = (x.expect("cancel"), y.expect("cancel"));
            self.same(&batch, &x, &y);
            return self.copy(&batch, x_update, y_update);
        }
        let mut batch: Vec<Append> = Vec::new();
        for row in x.iter().flatten().filter(|row| row.sale == self.sale) {
            // Whoever was told lets it lapse, if nothing else happens before.
            let input = match self.dice.roll(12) {
                0 => Input::OfferTaken { pay_within: self.dice.once_in(2).then_some(Duration::from_secs(60)) },
                1 => Input::OfferDeclined,
                2..=6 => Input::OfferTold,
                7 => Input::BuyerCancels,
                _ => Input::Deadline { ver: row.ver },
            };
            if let Verdict::Move(append) = step(Some(row), &input, now, &Policy::default()) {
                batch.push(*append);
            }
        }
        let (x, y) = (a.append(&self.sale, &batch).await, b.append(&self.sale, &batch).await);
        let ((x, x_update), (y, y_update)) = (x.expect("append"), y.expect("append"));
        self.same(&batch, &x, &y);
        self.copy(&batch, x_update, y_update);
        for wish in self.his(a, b).await {
            match wish.state {
                WishState::Accepted | WishState::Declined | WishState::Lapsed => self.seen.note(wish.state.code()),
                WishState::Waiting | WishState::Offered | WishState::Left => {}
            }
        }
    }

    async fn look_at_lines(&mut self, a: &impl FullLedger, b: &impl FullLedger) {
        let (x, y) = (a.sought(9).await.expect("sought"), b.sought(9).await.expect("sought"));
        self.same(&"sought", &x, &y);
        let (what, member) = (item(self.dice.pick(&["a", "b", "c"])), buyer(self.dice.pick(&MEMBERS)));
        let (x, y) = (a.place(&self.sale, &what, &member).await, b.place(&self.sale, &what, &member).await);
        self.same(&(what, member), &x.expect("place"), &y.expect("place"));
        // Of this sale, or of one that was closed.
        let sale = sale_id(&format!("drop-{}", self.dice.roll(u64::from(self.drops))));
        let (x, y) = (a.end(&sale, 2).await.expect("end"), b.end(&sale, 2).await.expect("end"));
        self.same(&sale, &x.0, &y.0);
        if sale == self.sale {
            self.copy(&sale, x.1, y.1);
        }
    }

    fn id(&mut self) -> String {
        format!("{}~{}", self.dice.pick(&MEMBERS), self.dice.roll(15))
    }

    fn request(&mut self) -> Accept {
        let id = self.id();
        let mut of = vec![self.dice.pick(&[("a", 1), ("a", 2), ("b", 1), ("b", 3), ("c", 2), ("c", 8)])];
        match self.dice.roll(12) {
            0..=2 if of[0].0 != "c" => of.push(("c", 1 + self.dice.roll(3))),
            3 => of.push(("nothing", 1)),
            _ => {}
        }
        let mut ask = accept(&id, &of);
        match self.dice.roll(10) {
            0 => ask.expect = Some(amount(10_000)),
            1 => ask.expect = Some(amount(7_000)),
            _ => {}
        }
        if self.dice.once_in(4) {
            ask = with_coupon(&format!("plant~w1~{}", ask.id.buyer_str()), ask);
        }
        if self.epoch > 0 && !self.dice.once_in(12) {
            let epoch = self.epoch - u64::from(self.dice.once_in(15));
            self.next_no += 1;
            ask = held(epoch, self.next_no - self.dice.roll(4).min(self.next_no - 1), ask);
        }
        ask
    }

    async fn accept(&mut self, a: &impl FullLedger, b: &impl FullLedger) {
        let batch: Vec<Accept> = (0..1 + self.dice.roll(6)).map(|_| self.request()).collect();
        let (x, y) = (a.accept(&self.sale, &batch).await, b.accept(&self.sale, &batch).await);
        let (x, y) = (x.expect("accept"), y.expect("accept"));
        self.same(&batch, &x.answers, &y.answers);
        for answer in &x.answers {
            self.seen.note(match answer {
                Acceptance::Decided(order) => order.reason.map_or(order.state.code(), Reason::code),
                Acceptance::Already(_) => "already",
                Acceptance::Conflict => "conflict",
                Acceptance::NotOpen(_) => "not open",
                Acceptance::HoldExpired => "hold expired",
                Acceptance::UnknownItem(_) => "unknown item",
                Acceptance::NotOffered(_) => "not offered",
            });
        }
        self.copy(&batch, x.update, y.update);
    }

    async fn claim(&mut self, a: &impl FullLedger, b: &impl FullLedger) {
        let member = self.dice.pick(&MEMBERS);
        let ask = claim(&format!("c{}", self.dice.roll(2)), coupon(&format!("plant~w1~{member}"), Timestamp::FAR));
        let window = sale_id("plant:w1");
        let batch = [ask];
        let (x, y) = (a.accept(&window, &batch).await, b.accept(&window, &batch).await);
        self.same(&batch, &x.expect("accept").answers, &y.expect("accept").answers);
    }

    async fn cancel(&mut self, a: &impl FullLedger, b: &impl FullLedger) {
        let batch: Vec<Cancel> =
            (0..1 + self.dice.roll(3)).map(|_| Cancel { id: order(&self.id()), reason: Reason::Operator }).collect();
        let (x, y) = (a.cancel(&self.sale, &batch).await, b.cancel(&self.sale, &batch).await);
        let ((x, x_update), (y, y_update)) = (x.expect("cancel"), y.expect("cancel"));
        self.same(&batch, &x, &y);
        for answer in &x {
            self.seen.note(match answer {
                Cancelled::Done(order) if order.lines.is_empty() => "fenced",
                Cancelled::Done(_) => "cancelled",
                Cancelled::Already(_) => "ended already",
                Cancelled::NotCancellable(_) => "not cancellable",
            });
        }
        self.copy(&batch, x_update, y_update);
    }

    /// One of the inputs that may move an order in this state, or any other.
    fn input(&mut self, row: &flashsale_core::order::Order, now: Timestamp) -> Input {
        let paid = if self.dice.once_in(12) { amount(1) } else { row.amounts.pays };
        match (row.state, self.dice.roll(10)) {
            (OrderState::Accepted, 0..=5) => Input::TurnToPay,
            (OrderState::Paying, 0..=3) => Input::Approved { amount: paid },
            (OrderState::Paying, 4..=5) => Input::Declined(DeclineReason::Insufficient),
            (OrderState::Paying, 6) => {
                Input::NeedsBuyer { action: "page".to_owned(), until: now.after(Duration::from_secs(900)) }
            }
            (OrderState::Closing, 0..=4) => Input::PaymentCancelled,
            (OrderState::Confirmed, 0..=4) => Input::Return,
            (OrderState::Refunding, 0..=4) => Input::Refunded,
            (_, 7) => Input::Deadline { ver: row.ver },
            (_, 8) => Input::Unknown,
            (_, 9) => Input::Approved { amount: paid },
            _ => Input::BuyerCancels,
        }
    }

    async fn append(&mut self, a: &impl FullLedger, b: &impl FullLedger) {
        let mut ids: Vec<OrderId> = (0..1 + self.dice.roll(5)).map(|_| order(&self.id())).collect();
        ids.sort_unstable();
        ids.dedup();
        let ((x, now), (y, _)) = (a.load(&ids).await.expect("load"), b.load(&ids).await.expect("load"));
        self.same(&ids, &x, &y);
        let mut batch: Vec<Append> = Vec::new();
        for row in x.iter().flatten() {
            let input = self.input(row, now);
            let units = if self.dice.once_in(2) { Units::Keep } else { Units::GiveBack };
            let policy = Policy { returned_units: units, ..Policy::default() };
            let Verdict::Move(mut append) = step(Some(row), &input, now, &policy) else { continue };
            match self.dice.roll(20) {
                0 => append.expect += 1,
                1 if !append.order.state.holds_units() => append.units = Units::GiveBack,
                _ => {}
            }
            batch.push(*append);
        }
        let (x, y) = (a.append(&self.sale, &batch).await, b.append(&self.sale, &batch).await);
        let ((x, x_update), (y, y_update)) = (x.expect("append"), y.expect("append"));
        self.same(&batch, &x, &y);
        for answer in &x {
            self.seen.note(match answer {
                Appended::Done(_) => "appended",
                Appended::Stale => "stale",
            });
        }
        self.copy(&batch, x_update, y_update);
    }

    async fn follow(&mut self, a: &impl FullLedger, b: &impl FullLedger) {
        let at = self.dice.roll(self.at.len() as u64) as usize;
        let at = if self.dice.once_in(2) { self.at.len() - 1 } else { at };
        let mut from = self.at[at];
        if self.dice.once_in(8) {
            from = from.map(|version| Version { tag: version.tag ^ 1, ..version });
        }
        let nonce = Nonce(self.nonce.saturating_sub(u64::from(self.dice.once_in(6))));
        let lapsed = HoldNo(if self.dice.once_in(2) { 0 } else { self.dice.roll(self.next_no) });
        let asked = (from, nonce, lapsed);
        let x = a.follow(&self.sale, nonce, from[0], lapsed).await.expect("follow");
        let y = b.follow(&self.sale, nonce, from[1], lapsed).await.expect("follow");
        let word = |told: &Followed| match told {
            Followed::Current => "current",
            Followed::Update(_) => "followed",
            Followed::Superseded => "superseded",
            Followed::Rewound => "rewound",
        };
        self.same(&asked, &word(&x), &word(&y));
        self.seen.note(word(&x));
        if let (Followed::Update(x), Followed::Update(y)) = (x, y) {
            let listed = |update: &Update| {
                let mut orders: Vec<_> = update.orders.iter().map(|o| (o.id.clone(), o.hash.0, o.state, o.v)).collect();
                orders.sort_unstable();
                orders
            };
            self.same(&asked, &listed(&x), &listed(&y));
            self.copy(&asked, Some(x), Some(y));
        }
    }

    async fn change(&mut self, a: &impl FullLedger, b: &impl FullLedger, now: Timestamp) {
        let what = item(self.dice.pick(&["a", "b", "c", "c", "nothing"]));
        let change = match self.dice.roll(12) {
            0..=4 => Change::Adjust { item: what, by: self.dice.roll(12) as i64 - 5 },
            5 => Change::Price { item: what, price: amount(self.dice.pick(&[500, 10_000, 12_000])) },
            6 => Change::Limit { item: what, per_buyer: units(1 + self.dice.roll(6)) },
            7 => Change::Window(Window {
                opens_at: now,
                closes_at: now.after(Duration::from_secs(self.dice.roll(3) * 500)),
            }),
            8 => Change::Window(Window::ALWAYS),
            9 => Change::State(SaleState::Paused),
            10 if self.dice.once_in(4) => Change::State(SaleState::Closed),
            _ => Change::State(SaleState::Open),
        };
        let id = key(&format!("c{}", self.dice.roll(60)));
        let (x, y) = (a.change(&self.sale, &id, &change).await, b.change(&self.sale, &id, &change).await);
        let (x, y) = (x.expect("change"), y.expect("change"));
        self.same(&change, &x.as_ref().err(), &y.as_ref().err());
        let (x, y) = (x.unwrap_or(None), y.unwrap_or(None));
        self.seen.note(if x.is_some() { "changed" } else { "not changed" });
        self.copy(&change, x, y);
        let totals = a.totals(&self.sale).await.expect("totals").expect("a sale");
        if totals.door.state == SaleState::Closed {
            self.open(a, b).await;
        }
    }

    async fn adopt(&mut self, a: &impl FullLedger, b: &impl FullLedger) {
        let fresh = self.dice.once_in(2);
        self.nonce += u64::from(fresh);
        let (nonce, epoch) = (Nonce(self.nonce), Epoch(self.epoch.saturating_sub(u64::from(self.dice.once_in(4)))));
        let told = |told: Adopted| match told {
            Adopted::Yes(mut load) => {
                load.version.tag = 0;
                load.items.sort_by(|x, y| x.item.cmp(&y.item));
                Adopted::Yes(load)
            }
            other => other,
        };
        let x = told(a.adopt(&self.sale, nonce, epoch).await.expect("adopt"));
        let y = told(b.adopt(&self.sale, nonce, epoch).await.expect("adopt"));
        self.same(&(nonce, epoch), &x, &y);
        if let Adopted::Yes(load) = x {
            if load.epoch.0 != self.epoch {
                self.next_no = 1;
            }
            self.epoch = load.epoch.0;
        }
    }

    async fn wallet(&mut self, a: &impl FullLedger, b: &impl FullLedger) {
        let mut one = || -> WalletRequest {
            let (member, other) = (self.dice.pick(&MEMBERS), self.dice.pick(&MEMBERS));
            let minor = self.dice.pick(&[0, 3_000, 10_000, 25_000]);
            let mine = format!("plant~w1~{member}");
            let act = match self.dice.roll(6) {
                0..=2 => charge(minor),
                3 => withdraw(minor),
                _ => trade(other, minor, self.dice.once_in(2).then_some(mine.as_str())),
            };
            request(member, &format!("w{}", self.dice.roll(25)), act)
        };
        let batch: Vec<WalletRequest> = (0..4).map(|_| one()).collect();
        let (x, y) = (a.wallet(&batch).await.expect("wallet"), b.wallet(&batch).await.expect("wallet"));
        self.same(&batch, &x, &y);
        for answer in &x {
            self.seen.note(match answer {
                Ok(done) if done.replayed => "wallet repeated",
                Ok(_) => "wallet moved",
                Err(refusal) => refusal.code(),
            });
        }
    }

    async fn pay(&mut self, a: &impl FullLedger, b: &impl FullLedger) {
        let keys: Vec<PaymentKey> = (0..3).map(|_| payment_key(&self.id(), 1)).collect();
        let asked = format!("{keys:?}");
        match self.dice.roll(6) {
            0..=2 => {
                let charges: Vec<Charge> =
                    keys.iter().map(|k| to_pay(k.order.as_str(), self.dice.pick(&[700, 7_000, 10_000]))).collect();
                self.same(&asked, &a.pay(&charges).await.expect("pay"), &b.pay(&charges).await.expect("pay"));
            }
            3 => self.same(&asked, &a.fence(&keys).await.expect("fence"), &b.fence(&keys).await.expect("fence")),
            4 => {
                let paid = a.paid(&keys).await.expect("paid");
                self.same(&asked, &paid, &b.paid(&keys).await.expect("paid"));
                let mut captures = Vec::new();
                for (key, outcome) in keys.into_iter().zip(paid) {
                    if let Some(Outcome::Approved { amount: paid, .. }) = outcome {
                        let funded = amount(self.dice.pick(&[0, 3_000]));
                        captures.push(Capture { key, seller_gets: paid.plus(funded).expect("a sum"), funded });
                    }
                }
                let shop = buyer("shop");
                self.same(&asked, &a.settle(&shop, &captures).await.ok(), &b.settle(&shop, &captures).await.ok());
            }
            _ => self.same(&asked, &a.give_back(&keys).await.ok(), &b.give_back(&keys).await.ok()),
        }
    }

    /// Marks the same events as sent in both, whatever their numbers.
    async fn relay(&mut self, a: &impl FullLedger, b: &impl FullLedger) {
        let some = |rows: Vec<(OutboxNo, Event)>| -> BTreeMap<String, (OutboxNo, Event)> {
            rows.into_iter().map(|(no, event)| (event.id(), (no, event))).collect()
        };
        let x = some(a.unsent(None, usize::MAX >> 1).await.expect("unsent"));
        let y = some(b.unsent(None, usize::MAX >> 1).await.expect("unsent"));
        let events = |rows: &BTreeMap<String, (OutboxNo, Event)>| -> Vec<Event> {
            rows.values().map(|(_, event)| event.clone()).collect()
        };
        self.same(&"unsent", &events(&x), &events(&y));
        for _ in 0..x.len() {
            self.seen.note("told");
        }
        let chosen: Vec<String> = x.keys().filter(|_| !self.dice.once_in(4)).cloned().collect();
        let numbers = |rows: &BTreeMap<String, (OutboxNo, Event)>| -> Vec<OutboxNo> {
            chosen.iter().map(|id| rows[id].0).collect()
        };
        a.sent(&numbers(&x)).await.expect("sent");
        b.sent(&numbers(&y)).await.expect("sent");
    }

    async fn read(&mut self, a: &impl FullLedger, b: &impl FullLedger) {
        let member = buyer(self.dice.pick(&MEMBERS));
        let query = OrderQuery { buyer: member.clone(), after: None, limit: 1 + self.dice.roll(9) as usize };
        self.same(&query, &a.list(&query).await.expect("list"), &b.list(&query).await.expect("list"));
        let (x, y) = (a.due(9).await.expect("due"), b.due(9).await.expect("due"));
        self.same(&"due", &x, &y);
        let (x, y) = (a.entries(&member, None, 9).await.expect("entries"), b.entries(&member, None, 9).await);
        self.same(&member, &x, &y.expect("entries"));
        let (x, y) = (a.coupons_of(&member, None, 9).await.expect("coupons"), b.coupons_of(&member, None, 9).await);
        self.same(&member, &x, &y.expect("coupons"));
        let mine = [CouponId::new(&format!("plant~w1~{member}")).expect("a coupon's name")];
        let (x, y) = (a.coupons(&mine).await.expect("coupons"), b.coupons(&mine).await.expect("coupons"));
        self.same(&mine, &x, &y);
        let id = self.id();
        let (x, y) = (a.history(&id).await.expect("history"), b.history(&id).await.expect("history"));
        self.same(&id, &x, &y);
        let after = order(&self.id());
        let page = |page: flashsale_core::stock::Answers| {
            let mut bought: Vec<_> =
                page.bought.into_iter().filter(|b| b.units > 0).map(|b| (b.item, b.buyer, b.units)).collect();
            bought.sort_unstable();
            (page.orders, bought, page.next)
        };
        let x = page(a.answers(&self.sale, Some(&after), 7).await.expect("answers"));
        let y = page(b.answers(&self.sale, Some(&after), 7).await.expect("answers"));
        self.same(&after, &x, &y);
    }

    /// The totals of both, and what they say they sold.
    async fn compare(&self, a: &impl FullLedger, b: &impl FullLedger) {
        let totals = |totals: Option<flashsale_core::stock::Totals>| {
            totals.map(|mut totals| {
                totals.version.tag = 0;
                totals.items.sort_by(|x, y| x.item.cmp(&y.item));
                totals
            })
        };
        let x = totals(a.totals(&self.sale).await.expect("totals"));
        let y = totals(b.totals(&self.sale).await.expect("totals"));
        self.same(&"totals", &x, &y);
        for row in x.iter().flat_map(|totals| &totals.items) {
            assert!(row.allocated <= row.total, "seed {}, step {}: {row:?}", self.seed, self.step);
        }
    }
}
