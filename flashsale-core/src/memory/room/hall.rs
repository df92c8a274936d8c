//! One room in memory: who waits, in which order, who has a turn.
//!
//! Seats live in one slab, found through an [`Index`]; the line is a queue of numbers and slots. Who leaves, leaves his number in the line: it
//! is passed when the line comes to it, so nothing is searched or moved. A batch first touches the places of all its members, in
//! a loop without dependencies, so that the processor waits for many cache misses at once; then it decides in order.

use std::collections::{BTreeSet, VecDeque};
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::DefaultHashBuilder;

use super::early::{Early, EarlyPlaces};
use crate::id::BuyerId;
use crate::memory::index::{Index, Slot};
use crate::queue::{
    Admitted, Arrivals, Door, Ended, Enter, EnterRefusal, Entry, Expired, Generation, Levels, Mode, Number, Phase,
    Place, SERVED_SLICE, Served, Spending, Standing, Terms, Turn, Why,
};
use crate::time::Timestamp;

/// A room.
#[derive(Debug, Clone)]
pub(super) struct Hall {
    terms: Arc<Terms>,
    generation: Generation,
    edition: u64,
    door: Door,
    arrivals: Arrivals,
    served: Served,
    spending: Spending,
    issued: u64,
    serving: u64,
    hasher: DefaultHashBuilder,
    /// Member to slot.
    members: Index,
    seats: Vec<Seat>,
    free: Vec<Slot>,
    /// Numbers of this generation and their seats, in order. A seat may be somebody else's by now.
    line: VecDeque<(u64, Slot)>,
    /// How many seats are in the line.
    in_line: u64,
    early: EarlyPlaces,
    away: u64,
    turns: BTreeSet<(Timestamp, Slot)>,
    ended: BTreeSet<(Timestamp, Slot)>,
}

/// What a room knows of a member.
#[derive(Debug, Clone)]
struct Seat {
    member: BuyerId,
    number: Number,
    /// When he was last seen; of a turn, its end; of what is over, when it ended.
    at: Timestamp,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Free,
    Line,
    Early,
    /// Passed over while away.
    Away,
    /// A turn, and how often it can be made longer.
    Turn(u8),
    Ended(Ended),
}

/// Whose turn it is next.
#[derive(Debug, Clone, Copy)]
enum Head {
    Early(Slot),
    Line(u64, Slot),
}

impl Hall {
    pub(super) fn new(terms: &Terms, now: Timestamp) -> Self {
        let mut hall = Self {
            terms: Arc::new(terms.clone()),
            generation: Generation(u64::try_from(now.ms()).unwrap_or(0)),
            edition: 1,
            door: Door::Closed,
            arrivals: Arrivals::new(terms.slice()),
            served: Served::new(SERVED_SLICE),
            spending: Spending::starting(now, terms.pace),
            issued: 0,
            serving: 0,
            hasher: DefaultHashBuilder::default(),
            members: Index::default(),
            seats: Vec::new(),
            free: Vec::new(),
            line: VecDeque::new(),
            in_line: 0,
            early: EarlyPlaces::default(),
            away: 0,
            turns: BTreeSet::new(),
            ended: BTreeSet::new(),
        };
        hall.door = hall.door.settle(terms, now, 0, 0);
        hall
    }

    pub(super) fn terms(&self) -> &Terms {
        &self.terms
    }

    pub(super) fn levels(&self, now: Timestamp) -> Levels {
        Levels {
            now,
            generation: self.generation,
            edition: self.edition,
            terms: self.terms.clone(),
            door: self.door,
            serving: self.serving,
            issued: self.issued,
            waiting: self.waiting(),
            returned: self.early.len() as u64,
            absent: self.away,
            turns: u32::try_from(self.turns.len()).unwrap_or(u32::MAX),
            places: self.places(),
            arrivals: self.arrivals,
            served: self.served,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        let names: usize = self.seats.iter().map(|seat| seat.member.as_str().len() + 16).sum();
        self.seats.capacity() * size_of::<Seat>()
            + names
            + self.members.bytes()
            + self.line.capacity() * size_of::<(u64, Slot)>()
            + (self.early.len() + self.turns.len() + self.ended.len()) * 2 * size_of::<Early>()
    }

    fn waiting(&self) -> u64 {
        self.in_line + self.early.len() as u64
    }

    fn places(&self) -> u64 {
        (self.seats.len() - self.free.len()) as u64
    }

    pub(super) fn change(&mut self, terms: Terms, now: Timestamp) {
        if terms == *self.terms {
            return;
        }
        if terms.pace != self.terms.pace {
            self.spending.change(now);
        }
        self.terms = Arc::new(terms);
        self.edition += 1;
        self.settle(now);
    }

    /// Opens or closes the door, if it has to be.
    fn settle(&mut self, now: Timestamp) {
        let door = self.door.settle(&self.terms, now, self.arrivals.sum(now), self.waiting());
        self.turn(door);
    }

    fn turn(&mut self, door: Door) {
        if door != self.door {
            self.door = door;
            self.edition += 1;
        }
    }

    fn find(&self, hash: u64, member: &BuyerId) -> Option<Slot> {
        self.members.find(hash, |slot| self.seats[slot as usize].member == *member)
    }

    /// Hashes the members of a batch, and brings what their searches read into the cache: first all cells, then all seats, then all names. The reads of a round do
    /// not depend on each other, so the processor waits for many of them at once.
    fn hashes<'a>(&self, members: impl Iterator<Item = &'a BuyerId>) -> Vec<u64> {
        let hashes: Vec<u64> = members.map(|member| self.hasher.hash_one(member.as_str())).collect();
        let likely: Vec<Slot> = hashes.iter().filter_map(|hash| self.members.likely(*hash)).collect();
        let seats = likely.iter().fold(0, |all, slot| all ^ self.seats[*slot as usize].number.no);
        let first = |slot: &Slot| self.seats[*slot as usize].member.as_str().as_bytes().first().copied();
        let names = likely.iter().filter_map(first).fold(0, |all, byte| all ^ byte);
        std::hint::black_box((seats, names));
        hashes
    }

    /// Decides for each in order.
    pub(super) fn enter(&mut self, batch: &[Enter], now: Timestamp) -> Vec<Entry> {
        self.settle(now);
        let hashes = self.hashes(batch.iter().map(|enter| &enter.member));
        batch.iter().zip(hashes).map(|(enter, hash)| self.enter_one(enter, hash, now)).collect()
    }

    fn enter_one(&mut self, enter: &Enter, hash: u64, now: Timestamp) -> Entry {
        if self.terms.mode == Mode::Off {
            return Entry::Through;
        }
        match self.terms.phase(now) {
            Phase::Before { places_from } => return Entry::Refused(EnterRefusal::TooEarly { places_from }),
            Phase::Over => return Entry::Refused(EnterRefusal::Over),
            Phase::Prejoin | Phase::Running => {}
        }
        let was_open = self.door.is_open();
        if !was_open {
            self.arrivals.add(now, 1);
            let lost = enter.ticket.is_some_and(|number| self.was_lost(number));
            if !lost && self.arrivals.sum(now) <= self.terms.opens_above {
                return Entry::Through;
            }
            self.turn(Door::Open(Why::Arrivals));
        }
        let known = self.find(hash, &enter.member);
        if let Some(slot) = known
            && !self.is_done(slot, now)
        {
            return Entry::Same(self.seen(slot, now));
        }
        let room = self.terms.places_max;
        let long = self.issued - self.serving >= room.saturating_mul(2);
        if long || (known.is_none() && self.places() >= room) {
            return Entry::Refused(EnterRefusal::Full);
        }
        if was_open {
            self.arrivals.add(now, 1);
        }
        let ticket =
            enter.ticket.filter(|number| known.is_none() && number.generation <= self.generation && number.no > 0);
        let slot = self.seat(known, hash, &enter.member);
        match ticket {
            Some(number) if !self.is_new(number) => self.put_early(slot, number, now),
            ticket => {
                self.issued = ticket.map_or(self.issued + 1, |number| number.no);
                let number = Number { generation: self.generation, no: self.issued };
                self.put(slot, number, now, State::Line);
                self.line.push_back((number.no, slot));
                self.in_line += 1;
            }
        }
        Entry::New(self.place(slot, now))
    }

    /// Whether a number of this generation was not given by this store: it lost the end of the line.
    fn is_new(&self, number: Number) -> bool {
        number.generation == self.generation && number.no > self.issued
    }

    /// Whether a ticket's number proves that the store lost a line.
    fn was_lost(&self, number: Number) -> bool {
        number.no > 0 && (number.generation < self.generation || self.is_new(number))
    }

    /// A seat for a member: the one that he had, a free one, or another one.
    fn seat(&mut self, known: Option<Slot>, hash: u64, member: &BuyerId) -> Slot {
        if let Some(slot) = known {
            self.clear(slot);
            return slot;
        }
        let number = Number { generation: self.generation, no: 0 };
        let seat = Seat { member: member.clone(), number, at: Timestamp::from_ms(0), state: State::Free };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.seats[slot as usize] = seat;
                slot
            }
            None => {
                // A room has at most 100,000,000 places.
                self.seats.push(seat);
                (self.seats.len() - 1) as Slot
            }
        };
        self.members.insert(hash, slot);
        slot
    }

    fn put(&mut self, slot: Slot, number: Number, at: Timestamp, state: State) {
        let seat = &mut self.seats[slot as usize];
        (seat.number, seat.at, seat.state) = (number, at, state);
    }

    fn put_early(&mut self, slot: Slot, number: Number, now: Timestamp) {
        self.put(slot, number, now, State::Early);
        let early = self.early_at(slot);
        self.early.insert(early);
    }

    fn early_at(&self, slot: Slot) -> Early {
        let seat = &self.seats[slot as usize];
        Early { number: seat.number, member: seat.member.clone(), slot }
    }

    /// Takes a seat out of wherever it is counted.
    fn clear(&mut self, slot: Slot) {
        let Seat { at, state, .. } = self.seats[slot as usize];
        match state {
            State::Free => {}
            State::Line => self.in_line -= 1,
            State::Early => {
                let early = self.early_at(slot);
                self.early.remove(&early);
            }
            State::Away => self.away -= 1,
            State::Turn(_) => {
                self.turns.remove(&(at, slot));
            }
            State::Ended(_) => {
                self.ended.remove(&(at, slot));
            }
        }
        self.seats[slot as usize].state = State::Free;
    }

    fn end(&mut self, slot: Slot, how: Ended, at: Timestamp) {
        self.clear(slot);
        let seat = &mut self.seats[slot as usize];
        (seat.at, seat.state) = (at, State::Ended(how));
        self.ended.insert((at, slot));
    }

    fn is_done(&self, slot: Slot, now: Timestamp) -> bool {
        let seat = &self.seats[slot as usize];
        match seat.state {
            State::Ended(_) | State::Free => true,
            State::Turn(_) => seat.at <= now,
            State::Line | State::Early | State::Away => false,
        }
    }

    /// Where a seat stands.
    fn place(&self, slot: Slot, now: Timestamp) -> Place {
        let seat = &self.seats[slot as usize];
        let standing = match seat.state {
            State::Line => Standing::Waiting { ahead: seat.number.no - self.serving - 1 + self.early.len() as u64 },
            State::Early | State::Away => {
                let line = if seat.number.generation == self.generation {
                    seat.number.no.saturating_sub(self.serving).saturating_sub(1)
                } else {
                    0
                };
                let ahead = self.early.rank(&self.early_at(slot)) as u64 + line;
                if seat.state == State::Early { Standing::Waiting { ahead } } else { Standing::Absent { ahead } }
            }
            State::Turn(_) if seat.at <= now => Standing::Ended(Ended::Passed),
            State::Turn(extensions_left) => Standing::Turn(Turn { until: seat.at, extensions_left }),
            State::Ended(how) => Standing::Ended(how),
            State::Free => Standing::Ended(Ended::Left),
        };
        Place { number: seat.number, standing }
    }

    /// Does something for each member that is known, and tells what it says.
    pub(super) fn ask(
        &mut self,
        members: &[BuyerId],
        now: Timestamp,
        what: impl Fn(&mut Self, Slot, Timestamp) -> Place,
    ) -> Vec<Option<Place>> {
        let hashes = self.hashes(members.iter());
        let each = members.iter().zip(hashes);
        each.map(|(member, hash)| self.find(hash, member).map(|slot| what(self, slot, now))).collect()
    }

    /// A sign of life.
    pub(super) fn seen(&mut self, slot: Slot, now: Timestamp) -> Place {
        match self.seats[slot as usize].state {
            State::Line | State::Early => self.seats[slot as usize].at = now,
            State::Away => {
                let told = self.place(slot, now);
                let number = self.seats[slot as usize].number;
                self.clear(slot);
                self.put_early(slot, number, now);
                return told;
            }
            State::Free | State::Turn(_) | State::Ended(_) => {}
        }
        self.place(slot, now)
    }

    pub(super) fn extend(&mut self, slot: Slot, now: Timestamp) -> Place {
        let seat = &self.seats[slot as usize];
        if let State::Turn(left) = seat.state
            && seat.at > now
            && left > 0
        {
            let until = seat.at.after(self.terms.turn);
            self.clear(slot);
            let seat = &mut self.seats[slot as usize];
            (seat.at, seat.state) = (until, State::Turn(left - 1));
            self.turns.insert((until, slot));
        }
        self.place(slot, now)
    }

    pub(super) fn finish(&mut self, slot: Slot, now: Timestamp) -> Place {
        let seat = &self.seats[slot as usize];
        if matches!(seat.state, State::Turn(_)) && seat.at > now {
            self.end(slot, Ended::Finished, now);
        }
        self.place(slot, now)
    }

    pub(super) fn leave(&mut self, slot: Slot, now: Timestamp) -> Place {
        if !self.is_done(slot, now) {
            self.end(slot, Ended::Left, now);
        }
        self.place(slot, now)
    }

    /// Whose turn it is next; the early one where two have one number.
    fn head(&self) -> Option<Head> {
        let line = self.line.front();
        match self.early.first() {
            Some(early) => match line {
                Some((no, slot)) if early.number > (Number { generation: self.generation, no: *no }) => {
                    Some(Head::Line(*no, *slot))
                }
                _ => Some(Head::Early(early.slot)),
            },
            None => line.map(|(no, slot)| Head::Line(*no, *slot)),
        }
    }

    pub(super) fn admit(&mut self, most: usize, now: Timestamp) -> Admitted {
        self.settle(now);
        let (mut admitted, mut skipped, mut passed) = (0_u32, 0_u32, 0_u32);
        let mut next = None;
        if self.door.admits(&self.terms, now) {
            self.spending.refill(now, self.terms.pace);
            let free = u64::from(self.terms.capacity).saturating_sub(self.turns.len() as u64);
            let free = u32::try_from(free).unwrap_or(u32::MAX);
            let allowed = self.spending.allows(now, self.terms.pace, free);
            let mut looked = 0;
            while admitted < allowed && looked < most {
                let Some(head) = self.head() else { break };
                looked += 1;
                passed += 1;
                match self.pass(head, now) {
                    Passed::Hole => {}
                    Passed::Absent => skipped += 1,
                    Passed::Admitted => admitted += 1,
                }
            }
            self.spending.spend(now, self.terms.pace, admitted);
            if passed > 0 {
                self.served.add(now, passed);
            }
            next = match self.head() {
                None => None,
                Some(_) if admitted < allowed => Some(Duration::ZERO),
                Some(_) if admitted == free => None,
                Some(_) => Some(self.spending.next(now, self.terms.pace)),
            };
        }
        Admitted { levels: self.levels(now), admitted, skipped, next }
    }

    /// Takes the head out of the line.
    fn pass(&mut self, head: Head, now: Timestamp) -> Passed {
        let slot = match head {
            Head::Early(slot) => slot,
            Head::Line(no, slot) => {
                self.line.pop_front();
                self.serving = no;
                let seat = &self.seats[slot as usize];
                let his = Number { generation: self.generation, no };
                if seat.state != State::Line || seat.number != his {
                    return Passed::Hole;
                }
                slot
            }
        };
        let absent = now.since(self.seats[slot as usize].at) >= self.terms.absent_after;
        self.clear(slot);
        let seat = &mut self.seats[slot as usize];
        if absent {
            seat.state = State::Away;
            self.away += 1;
            return Passed::Absent;
        }
        (seat.at, seat.state) = (now.after(self.terms.turn), State::Turn(self.terms.extensions));
        self.turns.insert((seat.at, slot));
        Passed::Admitted
    }

    pub(super) fn expire(&mut self, most: usize, now: Timestamp) -> Expired {
        let mut lapsed = 0;
        while let Some((until, slot)) = self.turns.first().copied()
            && until <= now
            && (lapsed as usize) < most
        {
            self.end(slot, Ended::Passed, until);
            lapsed += 1;
        }
        let mut forgotten = 0;
        while let Some((at, slot)) = self.ended.first().copied()
            && now.since(at) >= self.terms.remembers
            && (forgotten as usize) < most
        {
            self.clear(slot);
            let hash = self.hasher.hash_one(self.seats[slot as usize].member.as_str());
            self.members.remove(hash, slot);
            self.free.push(slot);
            forgotten += 1;
        }
        Expired { levels: self.levels(now), lapsed, forgotten }
    }
}

/// What became of the head of the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Passed {
    /// Nobody's: he left.
    Hole,
    Absent,
    Admitted,
}
