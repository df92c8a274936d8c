//! The waiting room, as plainly as it can be said: what fast stores are compared with.
//!
//! A map of members and a map of the numbers that the line has not passed; everything else is looked up by going through all of them. The rules
//! that are pure (the door, the pace) are core's own, for every store uses them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use flashsale_core::error::{BackendError, ErrorKind};
use flashsale_core::queue::{
    Admitted, Arrivals, Door, Ended, Enter, EnterRefusal, Entered, Entry, Expired, Generation, Levels, Mode, Number,
    Phase, Place, Places, RoomChange, RoomStore, SERVED_SLICE, Served, Spending, Standing, Terms, Turn, Why,
};
use flashsale_core::{BuyerId, Clock, RoomId, Timestamp};

/// The reference store.
#[derive(Debug)]
pub struct ModelRooms {
    clock: Arc<dyn Clock>,
    rooms: Mutex<BTreeMap<RoomId, ModelRoom>>,
}

impl ModelRooms {
    /// An empty store with this clock.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, rooms: Mutex::default() }
    }

    fn with<T>(&self, room: &RoomId, f: impl FnOnce(&mut ModelRoom, Timestamp) -> T) -> Option<T> {
        let now = self.clock.now();
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        rooms.get_mut(room).map(|model| f(model, now))
    }

    fn ask(
        &self,
        room: &RoomId,
        members: &[BuyerId],
        what: impl Fn(&mut ModelRoom, &BuyerId, Timestamp) -> Option<Standing>,
    ) -> Option<Places> {
        self.with(room, |model, now| {
            let each = members.iter().map(|member| {
                let number = model.cards.get(member)?.number;
                let standing = what(model, member, now).unwrap_or_else(|| model.standing(member, now));
                Some(Place { number, standing })
            });
            let places = each.collect();
            Places { levels: model.levels(now), places }
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waits { seen: Timestamp, early: Early },
    Away,
    Turn { until: Timestamp, left: u8 },
    Ended { how: Ended, at: Timestamp },
}

/// Whether a place goes before the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Early {
    Yes,
    No,
}

#[derive(Debug, Clone, Copy)]
struct Card {
    number: Number,
    state: State,
}

#[derive(Debug)]
struct ModelRoom {
    terms: Terms,
    generation: Generation,
    edition: u64,
    door: Door,
    arrived: Vec<Timestamp>,
    passed: Vec<Timestamp>,
    spending: Spending,
    issued: u64,
    serving: u64,
    cards: BTreeMap<BuyerId, Card>,
    /// The numbers that were given at the end of the line and not passed, and to whom.
    line: BTreeMap<u64, BuyerId>,
}

impl ModelRoom {
    fn new(terms: &Terms, now: Timestamp) -> Self {
        Self {
            terms: terms.clone(),
            generation: Generation(now.ms().unsigned_abs()),
            edition: 1,
            door: Door::Closed.settle(terms, now, 0, 0),
            arrived: Vec::new(),
            passed: Vec::new(),
            spending: Spending::starting(now, terms.pace),
            issued: 0,
            serving: 0,
            cards: BTreeMap::new(),
            line: BTreeMap::new(),
        }
    }

    fn count(&self, is: impl Fn(&State) -> bool) -> u64 {
        self.cards.values().filter(|card| is(&card.state)).count() as u64
    }

    fn waiting(&self) -> u64 {
        self.count(|state| matches!(state, State::Waits { .. }))
    }

    fn early(&self) -> u64 {
        self.count(|state| matches!(state, State::Waits { early: Early::Yes, .. }))
    }

    fn turns(&self) -> u32 {
        u32::try_from(self.count(|state| matches!(state, State::Turn { .. }))).expect("a test is small")
    }

    fn arrivals(&self) -> Arrivals {
        let mut arrivals = Arrivals::new(self.terms.slice());
        self.arrived.iter().for_each(|at| arrivals.add(*at, 1));
        arrivals
    }

    fn levels(&self, now: Timestamp) -> Levels {
        let mut served = Served::new(SERVED_SLICE);
        self.passed.iter().for_each(|at| served.add(*at, 1));
        Levels {
            now,
            generation: self.generation,
            edition: self.edition,
            terms: Arc::new(self.terms.clone()),
            door: self.door,
            serving: self.serving,
            issued: self.issued,
            waiting: self.waiting(),
            returned: self.early(),
            absent: self.count(|state| *state == State::Away),
            turns: self.turns(),
            places: self.cards.len() as u64,
            arrivals: self.arrivals(),
            served,
        }
    }

    fn turn(&mut self, door: Door) {
        if door != self.door {
            self.door = door;
            self.edition += 1;
        }
    }

    fn settle(&mut self, now: Timestamp) {
        let door = self.door.settle(&self.terms, now, self.arrivals().sum(now), self.waiting());
        self.turn(door);
    }

    fn is_done(&self, member: &BuyerId, now: Timestamp) -> bool {
        match self.cards.get(member).map(|card| card.state) {
            None | Some(State::Ended { .. }) => true,
            Some(State::Turn { until, .. }) => until <= now,
            Some(State::Waits { .. } | State::Away) => false,
        }
    }

    /// The early places, the next one first.
    fn early_order(&self) -> Vec<(Number, BuyerId)> {
        let waits = self.cards.iter().filter(|(_, card)| matches!(card.state, State::Waits { early: Early::Yes, .. }));
        let mut order: Vec<_> = waits.map(|(member, card)| (card.number, member.clone())).collect();
        order.sort();
        order
    }

    fn standing(&self, member: &BuyerId, now: Timestamp) -> Standing {
        let card = self.cards[member];
        let line = card.number.no.saturating_sub(self.serving).saturating_sub(1);
        let line = if card.number.generation == self.generation { line } else { 0 };
        let before = self.early_order().iter().filter(|other| **other < (card.number, member.clone())).count() as u64;
        match card.state {
            State::Waits { early: Early::No, .. } => Standing::Waiting { ahead: line + self.early() },
            State::Waits { early: Early::Yes, .. } => Standing::Waiting { ahead: line + before },
            State::Away => Standing::Absent { ahead: line + before },
            State::Turn { until, .. } if until <= now => Standing::Ended(Ended::Passed),
            State::Turn { until, left } => Standing::Turn(Turn { until, extensions_left: left }),
            State::Ended { how, .. } => Standing::Ended(how),
        }
    }

    fn set(&mut self, member: &BuyerId, state: State) {
        self.cards.get_mut(member).expect("he has a card").state = state;
    }

    /// A sign of life; what he is told, where that is not how he stands after it.
    fn seen(&mut self, member: &BuyerId, now: Timestamp) -> Option<Standing> {
        match self.cards[member].state {
            State::Waits { early, .. } => self.set(member, State::Waits { seen: now, early }),
            State::Away => {
                let told = self.standing(member, now);
                self.set(member, State::Waits { seen: now, early: Early::Yes });
                return Some(told);
            }
            State::Turn { .. } | State::Ended { .. } => {}
        }
        None
    }

    fn enter(&mut self, enter: &Enter, now: Timestamp) -> Entry {
        let member = &enter.member;
        match (self.terms.mode, self.terms.phase(now)) {
            (Mode::Off, _) => return Entry::Through,
            (_, Phase::Before { places_from }) => return Entry::Refused(EnterRefusal::TooEarly { places_from }),
            (_, Phase::Over) => return Entry::Refused(EnterRefusal::Over),
            (_, Phase::Prejoin | Phase::Running) => {}
        }
        let counted = self.door == Door::Closed;
        if counted {
            self.arrived.push(now);
            let above = |number: Number| number.generation == self.generation && number.no > self.issued;
            let lost = enter.ticket.is_some_and(|number| number.generation < self.generation || above(number));
            if !lost && self.arrivals().sum(now) <= self.terms.opens_above {
                return Entry::Through;
            }
            self.turn(Door::Open(Why::Arrivals));
        }
        if !self.is_done(member, now) {
            let standing = self.seen(member, now).unwrap_or_else(|| self.standing(member, now));
            return Entry::Same(Place { number: self.cards[member].number, standing });
        }
        let (known, most) = (self.cards.contains_key(member), self.terms.places_max);
        if (!known && self.cards.len() as u64 >= most) || self.issued - self.serving >= 2 * most {
            return Entry::Refused(EnterRefusal::Full);
        }
        if !counted {
            self.arrived.push(now);
        }
        let mut card = |number, early| {
            self.cards.insert(member.clone(), Card { number, state: State::Waits { seen: now, early } });
            number
        };
        let number = match enter.ticket.filter(|_| !known) {
            Some(number) if number.generation < self.generation => card(number, Early::Yes),
            Some(number) if number.generation == self.generation && number.no <= self.issued => {
                card(number, Early::Yes)
            }
            ticket => {
                let jump = ticket.filter(|number| number.generation == self.generation);
                self.issued = jump.map_or(self.issued + 1, |number| number.no);
                self.line.insert(self.issued, member.clone());
                card(Number { generation: self.generation, no: self.issued }, Early::No)
            }
        };
        Entry::New(Place { number, standing: self.standing(member, now) })
    }

    fn admit(&mut self, most: usize, now: Timestamp) -> Admitted {
        self.settle(now);
        let (mut admitted, mut skipped, mut next) = (0, 0, None);
        if self.door.admits(&self.terms, now) {
            self.spending.refill(now, self.terms.pace);
            let free = self.terms.capacity.saturating_sub(self.turns());
            let allowed = self.spending.allows(now, self.terms.pace, free);
            for _ in 0..most {
                if admitted == allowed {
                    break;
                }
                let Some((early, member)) = self.head() else { break };
                self.passed.push(now);
                if let Early::No = early {
                    let (no, _) = self.line.pop_first().expect("the head");
                    self.serving = no;
                    let his = Number { generation: self.generation, no };
                    let waits = |card: &Card| matches!(card.state, State::Waits { early: Early::No, .. });
                    if !self.cards.get(&member).is_some_and(|card| card.number == his && waits(card)) {
                        continue;
                    }
                }
                let State::Waits { seen, .. } = self.cards[&member].state else { panic!("the head waits") };
                if now.since(seen) >= self.terms.absent_after {
                    self.set(&member, State::Away);
                    skipped += 1;
                } else {
                    let turn = State::Turn { until: now.after(self.terms.turn), left: self.terms.extensions };
                    self.set(&member, turn);
                    admitted += 1;
                }
            }
            self.spending.spend(now, self.terms.pace, admitted);
            next = match self.head() {
                None => None,
                Some(_) if admitted < allowed => Some(Duration::ZERO),
                Some(_) if admitted == free => None,
                Some(_) => Some(self.spending.next(now, self.terms.pace)),
            };
        }
        Admitted { levels: self.levels(now), admitted, skipped, next }
    }

    fn head(&self) -> Option<(Early, BuyerId)> {
        let early = self.early_order().into_iter().next();
        let line = self.line.first_key_value();
        match (early, line) {
            (Some((number, member)), line) => match line {
                Some((no, other)) if number > (Number { generation: self.generation, no: *no }) => {
                    Some((Early::No, other.clone()))
                }
                _ => Some((Early::Yes, member)),
            },
            (None, line) => line.map(|(_, member)| (Early::No, member.clone())),
        }
    }

    fn expire(&mut self, most: usize, now: Timestamp) -> Expired {
        let mut over: Vec<(Timestamp, BuyerId)> = Vec::new();
        let mut old: Vec<(Timestamp, BuyerId)> = Vec::new();
        for (member, card) in &self.cards {
            if let State::Turn { until, .. } = card.state
                && until <= now
            {
                over.push((until, member.clone()));
            }
        }
        over.sort();
        over.truncate(most);
        for (until, member) in &over {
            self.set(member, State::Ended { how: Ended::Passed, at: *until });
        }
        for (member, card) in &self.cards {
            if let State::Ended { at, .. } = card.state
                && now.since(at) >= self.terms.remembers
            {
                old.push((at, member.clone()));
            }
        }
        old.sort();
        old.truncate(most);
        old.iter().for_each(|(_, member)| {
            self.cards.remove(member);
        });
        let count = |of: &[(Timestamp, BuyerId)]| u32::try_from(of.len()).expect("a test is small");
        Expired { levels: self.levels(now), lapsed: count(&over), forgotten: count(&old) }
    }
}

fn checked(operation: &'static str, terms: &Terms) -> Result<(), BackendError> {
    terms.check().map_err(|bad| BackendError::new(ErrorKind::Data, operation, bad))
}

#[async_trait]
impl RoomStore for ModelRooms {
    async fn open(&self, room: &RoomId, terms: &Terms) -> Result<Levels, BackendError> {
        checked("model.open", terms)?;
        let now = self.clock.now();
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(rooms.entry(room.clone()).or_insert_with(|| ModelRoom::new(terms, now)).levels(now))
    }

    async fn change(&self, room: &RoomId, change: &RoomChange) -> Result<Option<Levels>, BackendError> {
        let changed = self.with(room, |model, now| {
            let terms = change.to(&model.terms);
            checked("model.change", &terms)?;
            if terms != model.terms {
                if terms.pace != model.terms.pace {
                    model.spending.change(now);
                }
                model.terms = terms;
                model.edition += 1;
                model.settle(now);
            }
            Ok(model.levels(now))
        });
        changed.transpose()
    }

    async fn enter(&self, room: &RoomId, batch: &[Enter]) -> Result<Option<Entered>, BackendError> {
        Ok(self.with(room, |model, now| {
            model.settle(now);
            let answers = batch.iter().map(|enter| model.enter(enter, now)).collect();
            Entered { levels: model.levels(now), answers }
        }))
    }

    async fn place(&self, room: &RoomId, members: &[BuyerId]) -> Result<Option<Places>, BackendError> {
        Ok(self.ask(room, members, ModelRoom::seen))
    }

    async fn admit(&self, room: &RoomId, most: usize) -> Result<Option<Admitted>, BackendError> {
        Ok(self.with(room, |model, now| model.admit(most, now)))
    }

    async fn extend(&self, room: &RoomId, members: &[BuyerId]) -> Result<Option<Places>, BackendError> {
        Ok(self.ask(room, members, |model, member, now| {
            if let State::Turn { until, left } = model.cards[member].state
                && until > now
                && left > 0
            {
                let until = until.after(model.terms.turn);
                model.set(member, State::Turn { until, left: left - 1 });
            }
            None
        }))
    }

    async fn finish(&self, room: &RoomId, members: &[BuyerId]) -> Result<Option<Places>, BackendError> {
        Ok(self.ask(room, members, |model, member, now| {
            if let State::Turn { until, .. } = model.cards[member].state
                && until > now
            {
                model.set(member, State::Ended { how: Ended::Finished, at: now });
            }
            None
        }))
    }

    async fn leave(&self, room: &RoomId, members: &[BuyerId]) -> Result<Option<Places>, BackendError> {
        Ok(self.ask(room, members, |model, member, now| {
            if !model.is_done(member, now) {
                model.set(member, State::Ended { how: Ended::Left, at: now });
            }
            None
        }))
    }

    async fn expire(&self, room: &RoomId, most: usize) -> Result<Option<Expired>, BackendError> {
        Ok(self.with(room, |model, now| model.expire(most, now)))
    }

    async fn levels(&self, room: &RoomId) -> Result<Option<Levels>, BackendError> {
        Ok(self.with(room, |model, now| model.levels(now)))
    }

    async fn forget(&self, room: &RoomId) -> Result<(), BackendError> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner).remove(room);
        Ok(())
    }
}
