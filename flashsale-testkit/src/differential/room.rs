//! Random steps for two room stores: joins and repeats, tickets that fit and that do not, passes, absence, ends, changes, time.

use std::fmt::Debug;
use std::time::Duration;

use flashsale_core::queue::{
    Ended, Enter, EnterRefusal, Entry, Generation, Mode, Number, Pace, Place, RoomChange, RoomStore, Schedule,
    Standing, Terms,
};
use flashsale_core::{BuyerId, Clock, ManualClock, RoomId};

use super::{Dice, Seen};
use crate::sample::buyer;

/// Runs the same `steps` on two empty stores of one clock.
///
/// # Panics
/// Where an answer differs, naming `seed`, the step and what was asked.
pub async fn rooms(a: &impl RoomStore, b: &impl RoomStore, clock: &ManualClock, steps: u32, seed: u64) -> Seen {
    let room = RoomId::new("drop").expect("a room's name");
    let mut run = Run { dice: Dice::new(seed), room, seed, step: 0, seen: Seen::default() };
    for step in 0..steps {
        run.step = step;
        run.step(a, b, clock).await;
    }
    run.seen
}

struct Run {
    dice: Dice,
    room: RoomId,
    seed: u64,
    step: u32,
    seen: Seen,
}

impl Run {
    fn same<T: Debug + PartialEq>(&self, asked: &dyn Debug, a: T, b: &T) -> T {
        assert_eq!(&a, b, "seed {}, step {}: {asked:?}", self.seed, self.step);
        a
    }

    async fn step(&mut self, a: &impl RoomStore, b: &impl RoomStore, clock: &ManualClock) {
        let room = self.room.clone();
        match self.dice.roll(60) {
            0..=19 => {
                let batch: Vec<Enter> = (0..self.dice.roll(6)).map(|_| self.one(clock)).collect();
                let (x, y) = (a.enter(&room, &batch).await, b.enter(&room, &batch).await);
                let told = self.same(&batch, x.expect("enter"), &y.expect("enter"));
                match told {
                    Some(entered) => entered.answers.iter().for_each(|entry| self.note_entry(entry)),
                    None => self.seen.note("no room"),
                }
            }
            20..=26 => {
                let members = self.members();
                let (x, y) = (a.place(&room, &members).await, b.place(&room, &members).await);
                let told = self.same(&members, x.expect("place"), &y.expect("place"));
                told.iter().flat_map(|told| &told.places).for_each(|place| self.note_place(*place));
            }
            27..=38 => {
                let most = usize::try_from(self.dice.roll(8)).unwrap_or(0);
                let (x, y) = (a.admit(&room, most).await, b.admit(&room, most).await);
                if let Some(step) = self.same(&("admit", most), x.expect("admit"), &y.expect("admit")) {
                    (0..step.admitted).for_each(|_| self.seen.note("admitted"));
                    (0..step.skipped).for_each(|_| self.seen.note("skipped"));
                }
            }
            39..=44 => self.end(a, b).await,
            45..=47 => {
                let (x, y) = (a.expire(&room, 99).await, b.expire(&room, 99).await);
                if let Some(expired) = self.same(&"expire", x.expect("expire"), &y.expect("expire")) {
                    (0..expired.lapsed).for_each(|_| self.seen.note("lapsed"));
                    (0..expired.forgotten).for_each(|_| self.seen.note("forgotten"));
                }
            }
            48..=49 => {
                let change = self.change();
                let (x, y) = (a.change(&room, &change).await, b.change(&room, &change).await);
                self.same(&change, x.expect("change"), &y.expect("change"));
            }
            50 => {
                let terms = self.terms(clock);
                if self.dice.once_in(6) {
                    a.forget(&room).await.expect("forget");
                    b.forget(&room).await.expect("forget");
                }
                let (x, y) = (a.open(&room, &terms).await, b.open(&room, &terms).await);
                self.same(&terms, x.expect("open"), &y.expect("open"));
            }
            _ => {
                let ms = self.dice.pick(&[1, 10, 100, 300, 1_000, 1_500, 7_000]);
                clock.advance(Duration::from_millis(self.dice.roll(ms)));
            }
        }
        let (x, y) = (a.levels(&room).await, b.levels(&room).await);
        self.same(&"levels", x.expect("levels"), &y.expect("levels"));
    }

    async fn end(&mut self, a: &impl RoomStore, b: &impl RoomStore) {
        let (room, members) = (self.room.clone(), self.members());
        let how = self.dice.roll(3);
        let (x, y) = match how {
            0 => (a.extend(&room, &members).await, b.extend(&room, &members).await),
            1 => (a.finish(&room, &members).await, b.finish(&room, &members).await),
            _ => (a.leave(&room, &members).await, b.leave(&room, &members).await),
        };
        let told = self.same(&(how, &members), x.expect("end"), &y.expect("end"));
        told.iter().flat_map(|told| &told.places).for_each(|place| self.note_place(*place));
    }

    fn member(&mut self) -> BuyerId {
        buyer(&format!("m{}", self.dice.roll(40)))
    }

    fn members(&mut self) -> Vec<BuyerId> {
        (0..self.dice.roll(5)).map(|_| self.member()).collect()
    }

    fn one(&mut self, clock: &ManualClock) -> Enter {
        let member = self.member();
        let ticket = self.dice.once_in(5).then(|| {
            // Mostly of about now: lives begin at any step.
            let back = self.dice.roll(4_000);
            let generation = Generation(clock.now().ms().unsigned_abs() - back);
            Number { generation, no: 1 + self.dice.roll(60) }
        });
        Enter { member, ticket }
    }

    fn terms(&mut self, clock: &ManualClock) -> Terms {
        let opens_above = self.dice.pick(&[0, 3, 8]);
        let planned = self.dice.once_in(4);
        Terms {
            opens_above,
            closes_below: u32::try_from(self.dice.roll(u64::from(opens_above) + 1)).unwrap_or(0),
            within: Duration::from_millis(self.dice.pick(&[100, 1_000, 3_000])),
            pace: self.pace(),
            capacity: self.dice.pick(&[1, 4, 100]),
            turn: Duration::from_secs(self.dice.pick(&[1, 3, 60])),
            extensions: self.dice.pick(&[0, 1, 2]),
            absent_after: Duration::from_secs(self.dice.pick(&[1, 2, 600])),
            remembers: Duration::from_secs(self.dice.pick(&[1, 5, 3_600])),
            places_max: self.dice.pick(&[12, 35, 1_000]),
            schedule: planned.then(|| Schedule {
                opens_at: clock.now().after(Duration::from_millis(800)),
                prejoin: Duration::from_millis(500),
                closes_at: clock.now().after(Duration::from_secs(9)),
            }),
            mode: Mode::Auto,
            message: None,
        }
    }

    fn pace(&mut self) -> Pace {
        let admits = self.dice.pick(&[1, 7, 1_000]);
        Pace { admits, per: Duration::from_secs(self.dice.pick(&[1, 2, 60])) }
    }

    fn change(&mut self) -> RoomChange {
        let mut change = RoomChange::default();
        match self.dice.roll(6) {
            0 => change.mode = Some(self.dice.pick(&[Mode::Hold, Mode::Off])),
            1..=3 => change.mode = Some(Mode::Auto),
            4 => change.pace = Some(self.pace()),
            _ => change.capacity = Some(self.dice.pick(&[1, 3, 50])),
        }
        if self.dice.once_in(5) {
            change.message = Some(self.dice.once_in(2).then(|| "soon".to_owned()));
        }
        change
    }

    fn note_entry(&mut self, entry: &Entry) {
        match entry {
            Entry::Through => self.seen.note("through"),
            Entry::New(place) => {
                self.seen.note("new place");
                self.note_place(Some(*place));
            }
            Entry::Same(place) => {
                self.seen.note("same place");
                self.note_place(Some(*place));
            }
            Entry::Refused(EnterRefusal::TooEarly { .. }) => self.seen.note("too early"),
            Entry::Refused(EnterRefusal::Over) => self.seen.note("over"),
            Entry::Refused(EnterRefusal::Full) => self.seen.note("full"),
        }
    }

    fn note_place(&mut self, place: Option<Place>) {
        self.seen.note(match place.map(|place| place.standing) {
            None => "no place",
            Some(Standing::Waiting { .. }) => "waiting",
            Some(Standing::Absent { .. }) => "absent",
            Some(Standing::Turn(_)) => "turn",
            Some(Standing::Ended(Ended::Finished)) => "finished",
            Some(Standing::Ended(Ended::Left)) => "left",
            Some(Standing::Ended(Ended::Passed)) => "turn passed",
        });
    }
}
