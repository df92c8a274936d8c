//! The search for one order of the calls: depth first, each call at a moment at which it was under way, never the same state twice.
//!
//! The idea is that of Wing and Gong, with the memory of Lowe. What keeps it short: a call that changes nothing is placed as soon as
//! its answer fits (it never stands in the way, unless a lost call was over before it); a batch that was given numbers fits at one number only; a lost batch is tried
//! where a number is missing that can be its own; and an order is given up when a call that is still to come names too small a number. What remains free are the few calls that overlap.
//!
//! Owns the order. Does not own answers: `place.rs` compares them.

use std::collections::HashMap;

use super::place::{fits, may_change, place};
use super::witness::Witness;
use super::{Asked, Call, History, Moment};
use crate::model::{Mark, ModelSale};

/// How a search ends.
#[derive(Debug)]
pub(super) enum End {
    /// An order that explains every answer; lost calls that are not in it did not happen, or changed nothing.
    Found(Vec<usize>),
    /// There is none. The longest beginning of one.
    None(Vec<usize>),
    /// It would take more steps than allowed. The longest beginning that was found.
    Undecided(Vec<usize>),
}

/// A search under way.
pub(super) struct Search<'a> {
    calls: &'a [&'a Call],
    witness: &'a Witness<'a>,
    model: ModelSale,
    /// The answered calls that are not placed: a ring through the place after the last, in order of beginning.
    after: Vec<usize>,
    before: Vec<usize>,
    placed: Vec<bool>,
    /// Lost calls other than reserve that may have changed something, in order of beginning.
    lost: Vec<usize>,
    /// Lost batches, in order of beginning.
    lost_batches: Vec<usize>,
    frames: Vec<Frame>,
    /// By what was answered so far and the gate's state: the lost calls that were used up when no order was found from there, or
    /// one is being looked for. Who has used up the same ones or more need not look again.
    seen: HashMap<(u64, u64), Vec<Box<[usize]>>>,
    /// The sum (without carry) of the names of the placed calls that were answered.
    set: u64,
    /// The placed calls whose answer was lost.
    used: Vec<usize>,
    /// How long after its beginning a lost call may happen.
    reach: Moment,
    steps: u64,
    steps_max: u64,
    best: Vec<usize>,
}

/// A placed call.
#[derive(Debug)]
struct Frame {
    call: usize,
    mark: Mark,
    /// The latest moment at which a call began, of this and all before.
    latest: Moment,
    /// What else could be placed instead, the best last.
    instead: Vec<usize>,
}

/// The model as it was loaded.
pub(super) fn loaded(history: &History) -> ModelSale {
    let mut model = ModelSale::new(history.load.nonce);
    model.load(&history.load);
    model.settle();
    model
}

impl<'a> Search<'a> {
    /// A search through calls that are in order of beginning.
    pub(super) fn new(history: &History, calls: &'a [&'a Call], witness: &'a Witness<'a>, steps_max: u64) -> Self {
        let ring = calls.len();
        let mut search = Self {
            calls,
            witness,
            model: loaded(history),
            after: vec![ring; ring + 1],
            before: vec![ring; ring + 1],
            placed: vec![false; ring],
            lost: Vec::new(),
            lost_batches: Vec::new(),
            frames: Vec::new(),
            seen: HashMap::new(),
            set: 0,
            used: Vec::new(),
            reach: Moment::MAX,
            steps: 0,
            steps_max,
            best: Vec::new(),
        };
        let mut last = ring;
        for (n, call) in calls.iter().enumerate() {
            match (call.told(), &call.asked) {
                (Some(_), _) => {
                    (search.after[last], search.before[n]) = (n, last);
                    last = n;
                }
                (None, Asked::Reserve(_)) => search.lost_batches.push(n),
                (None, _) if may_change(call) => search.lost.push(n),
                (None, _) => {}
            }
        }
        (search.after[last], search.before[ring]) = (ring, last);
        search
    }

    /// The same search for orders only in which every lost call happened within so many moments of its beginning, or never.
    ///
    /// That is how lost calls happen, and there are few such orders. That there is none among them says nothing.
    pub(super) fn within(self, reach: Moment) -> Self {
        Self { reach, ..self }
    }

    /// How many placements were tried.
    pub(super) fn steps(&self) -> u64 {
        self.steps
    }

    /// Searches to the end.
    pub(super) fn run(&mut self) -> End {
        let ring = self.calls.len();
        while self.after[ring] != ring {
            let mut choices = self.choices();
            while !self.step(&mut choices) {
                if self.frames.len() > self.best.len() {
                    self.best = self.order();
                }
                if self.steps > self.steps_max {
                    return End::Undecided(std::mem::take(&mut self.best));
                }
                let Some(frame) = self.frames.pop() else { return End::None(std::mem::take(&mut self.best)) };
                self.take_back(frame.call, frame.mark);
                choices = frame.instead;
            }
        }
        End::Found(self.order())
    }

    fn order(&self) -> Vec<usize> {
        self.frames.iter().map(|frame| frame.call).collect()
    }

    /// The calls that may be placed next, the best last: one that changes nothing and fits, or all that may change something.
    fn choices(&mut self) -> Vec<usize> {
        let ring = self.calls.len();
        let mut horizon = Moment::MAX;
        let mut open = Vec::new();
        let mut n = self.after[ring];
        while n != ring && self.calls[n].called < horizon {
            horizon = horizon.min(self.calls[n].over());
            open.push(n);
            n = self.after[n];
        }
        // Numbers only grow: a call that names a smaller one can be placed no more.
        if open.iter().any(|n| self.witness.given[*n].0 < self.model.next().0 - 1) {
            return Vec::new();
        }
        let mut fits = None;
        for n in open.iter().copied().filter(|n| !may_change(self.calls[*n])) {
            self.steps += 1;
            let mark = self.model.mark();
            let told = place(&mut self.model, self.calls[n], n, self.witness);
            self.model.back_to(mark);
            if told.is_ok() {
                if !self.decides(n) {
                    return vec![n];
                }
                fits = fits.or(Some(n));
            }
        }
        let mut choices = self.lost_choices(horizon);
        choices.extend(open.into_iter().rev().filter(|n| may_change(self.calls[*n])));
        choices.extend(fits);
        choices
    }

    /// Whether placing a call decides that some lost call never happened, because that one was over before.
    fn decides(&self, n: usize) -> bool {
        let (began, latest) = (self.calls[n].called, self.latest());
        let lost = [&self.lost, &self.lost_batches];
        lost.iter().any(|lost| {
            // In order of beginning: those that began later were over later, too.
            let mut earlier = lost.iter().map(|n| (*n, self.calls[*n])).take_while(|(_, call)| call.called < began);
            earlier.any(|(n, call)| !self.placed[n] && call.over() > latest && call.over() < began)
        })
    }

    /// The latest moment at which a placed call began: what was over by then comes before it, or never.
    fn latest(&self) -> Moment {
        self.frames.last().map_or(0, |frame| frame.latest)
    }

    /// Lost calls that had begun by then and may have happened now.
    fn lost_choices(&self, horizon: Moment) -> Vec<usize> {
        let mut choices = Vec::new();
        let latest = self.latest();
        let mut choose = |n: usize| {
            let call = self.calls[n];
            let may = match &call.asked {
                Asked::Sync(update) => fits(&self.model, update),
                _ => true,
            };
            let late = latest.saturating_sub(call.called) > self.reach;
            if may && !late && !self.placed[n] && call.called < horizon && call.over() > latest {
                choices.push(n);
            }
        };
        let next = self.model.next();
        match self.witness.numbers.get(&next) {
            Some(number) => self.witness.lost.get(number.id).into_iter().flatten().copied().for_each(&mut choose),
            // Nobody ever heard of this number or a later one: there is no need for it, unless all else fails.
            None if next > self.witness.last && self.reach < Moment::MAX => {}
            None => self.lost_batches.iter().copied().for_each(&mut choose),
        }
        self.lost.iter().copied().for_each(&mut choose);
        choices
    }

    /// Places the best of the choices that fits and leads somewhere new; false if there is none.
    fn step(&mut self, choices: &mut Vec<usize>) -> bool {
        while let Some(n) = choices.pop() {
            if self.steps > self.steps_max {
                return false;
            }
            self.steps += 1;
            let mark = self.model.mark();
            let fits = place(&mut self.model, self.calls[n], n, self.witness).is_ok();
            let changed = self.model.mark() != mark;
            let answered = self.calls[n].told().is_some();
            // A lost call that changes nothing need not have happened.
            if !fits || !(changed || answered) {
                self.model.back_to(mark);
                continue;
            }
            let decides = self.decides(n);
            let latest = self.latest().max(self.calls[n].called);
            self.put(n);
            if self.is_new(latest) {
                // What changes nothing and decides nothing never stands in the way of another call.
                let instead = if changed || decides { std::mem::take(choices) } else { Vec::new() };
                self.frames.push(Frame { call: n, mark, latest, instead });
                return true;
            }
            self.take_back(n, mark);
        }
        false
    }

    /// Whether nobody has looked from here with as many lost calls left, or more.
    fn is_new(&mut self, latest: Moment) -> bool {
        // A lost call that was over makes no difference any more, used or not.
        let mut used: Vec<usize> = self.used.iter().copied().filter(|n| self.calls[*n].over() > latest).collect();
        used.sort_unstable();
        let seen = self.seen.entry((self.set, self.model.fingerprint())).or_default();
        if seen.iter().any(|less| less.iter().all(|n| used.binary_search(n).is_ok())) {
            return false;
        }
        seen.push(used.into());
        true
    }

    fn put(&mut self, n: usize) {
        self.placed[n] = true;
        if self.calls[n].told().is_none() {
            self.used.push(n);
        } else {
            self.set ^= name(n);
            let (before, after) = (self.before[n], self.after[n]);
            (self.after[before], self.before[after]) = (after, before);
        }
    }

    fn take_back(&mut self, n: usize, mark: Mark) {
        self.model.back_to(mark);
        self.placed[n] = false;
        if self.calls[n].told().is_none() {
            self.used.pop();
        } else {
            self.set ^= name(n);
            let (before, after) = (self.before[n], self.after[n]);
            (self.after[before], self.before[after]) = (n, n);
        }
    }
}

/// A word for a call, spread over all bits.
fn name(n: usize) -> u64 {
    crate::differential::Dice::new(n as u64).roll(u64::MAX)
}
