//! What one member of `room-burst` does: joins, waits, leaves, comes too late, buys; and what he tries that he must not.
//!
//! Owns the roles and their lots. What everybody saw together is judged in [`burst`](super::burst).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::Deserialize;
use tokio::sync::watch;

use super::{Admission, Before, Place};
use crate::line::{Joined, Told};
use crate::pool::{Pool, Reply};
use crate::run::Tally;
use crate::stream::RoomFrame;

/// The part of those who join and are never heard of again.
pub(super) const AWAY: f64 = 0.3;
/// The part of those who leave the line, and of those who have a turn and do not use it.
const LEAVE: f64 = 0.1;
const GIVE_UP: f64 = 0.15;
/// Within how long those who leave do.
const LEAVE_WITHIN_MS: u64 = 2_000;
/// One in so many does one of these beside it.
const SOME: usize = 10;
/// How long anybody waits for his turn: far longer than the line.
const PATIENCE: Duration = Duration::from_secs(240);
/// How long a turn's end may take to be told.
const END: Duration = Duration::from_secs(10);
/// How long after its end a turn is tried.
const AFTER: Duration = Duration::from_millis(200);
/// How often one looks whether something happened.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What a member will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Nothing more.
    Away,
    /// Leaves the line.
    Leaves,
    /// Lets his turn go by, and comes too late.
    Lapses,
    /// Gives his turn back, and changes his mind.
    Returns,
    /// Buys.
    Buys,
}

impl Role {
    /// Who does what, by the seed.
    pub(super) fn draw(seed: u64, members: usize) -> Vec<Self> {
        let mut chance = StdRng::seed_from_u64(seed);
        let role = |lot: f64| match lot {
            lot if lot < AWAY => Self::Away,
            lot if lot < AWAY + LEAVE => Self::Leaves,
            lot if lot < AWAY + LEAVE + GIVE_UP / 2.0 => Self::Lapses,
            lot if lot < AWAY + LEAVE + GIVE_UP => Self::Returns,
            _ => Self::Buys,
        };
        (0..members).map(|_| role(chance.random::<f64>())).collect()
    }
}

/// A turn that a member came for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn {
    /// When it began, in the server's time.
    pub(super) granted_ms: i64,
    /// When he was told; it went on then.
    pub(super) seen_ms: i64,
}

/// How it ended for a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum End {
    /// The door was closed.
    Through,
    Away,
    Left,
    /// He did not come for his turn in time.
    Passed,
    /// He had his turn and did not use it.
    GaveUp,
    Bought,
    /// He waits still.
    Waits,
}

/// What became of a member.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) member: String,
    /// The join that gave him his place.
    pub(super) joined: Option<Joined>,
    /// Every number that he was told of his place.
    pub(super) numbers: Vec<u64>,
    /// The number of an earlier place, whose turn came and went.
    pub(super) earlier: Option<u64>,
    /// What he was told first of a wait that was measured, and when.
    told: Option<(i64, f64, f64)>,
    pub(super) turn: Option<Turn>,
    pub(super) end: End,
}

impl Life {
    pub(super) fn new(member: String) -> Self {
        Self { member, joined: None, numbers: Vec::new(), earlier: None, told: None, turn: None, end: End::Waits }
    }

    /// Whether he was ever let through.
    pub(super) fn was_admitted(&self) -> bool {
        self.turn.is_some() || self.end == End::Through
    }

    /// The wait that he was told, and the one that came.
    pub(super) fn estimate(&self) -> Option<Told> {
        let (at_ms, about_s, at_most_s) = self.told?;
        let came_s = (self.turn?.granted_ms - at_ms).max(0) as f64 / 1_000.0;
        Some(Told { about_s, at_most_s, came_s })
    }

    /// Whether his turn may have come and gone while he was not looking: on a machine that is busy the crowd is long before him.
    fn may_have_passed(&self, turn_ms: i64) -> bool {
        let turn = Duration::from_millis(u64::try_from(turn_ms).unwrap_or(0));
        self.joined.is_some_and(|joined| joined.sent.elapsed() >= turn)
    }

    fn hear(&mut self, place: &Place) {
        self.numbers.extend(place.number);
        if let Some(wait) = place.wait.filter(|wait| wait.known && self.told.is_none() && place.status == "waiting")
            && let (Some(about), Some(at_most)) = (wait.about_s, wait.at_most_s)
        {
            self.told = Some((place.server_time.0, about, at_most));
        }
    }
}

/// What everybody saw.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Requests for orders.
    pub(super) tally: Tally,
    /// Answers that are not as promised.
    pub(super) wrong: Vec<String>,
    /// Admissions that are worth nothing, by the refusal that is due: how many were tried, and how many got it.
    pub(super) worthless: BTreeMap<&'static str, (u64, u64)>,
}

/// The crowd before the sale.
#[derive(Debug)]
pub(super) struct Rush {
    pub(super) before: Before,
    pub(super) pool: Arc<Pool>,
    pub(super) frames: watch::Receiver<RoomFrame>,
    pub(super) turn_ms: i64,
    pub(super) suffix: String,
    pub(super) seen: Mutex<Seen>,
    /// An admission that somebody lends to others.
    pub(super) lent: Mutex<Option<String>>,
}

impl Rush {
    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lent(&self) -> MutexGuard<'_, Option<String>> {
        self.lent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets others try this admission.
    pub(super) fn lend(&self, admission: &Admission) {
        *self.lent() = Some(admission.token.clone());
    }

    pub(super) fn member(&self, stem: &str, n: usize) -> String {
        format!("{stem}{n}{}", self.suffix)
    }

    /// Notes an answer that is not one of those promised.
    fn due(&self, what: &str, reply: &Reply, statuses: &[u16]) -> bool {
        let is = statuses.contains(&reply.status());
        if !is {
            self.seen().wrong.push(format!("{what} was answered {}", reply.shown()));
        }
        is
    }

    fn read<T: for<'de> Deserialize<'de>>(&self, what: &str, reply: &Reply) -> Option<T> {
        reply.json().map_err(|why| self.seen().wrong.push(format!("{what}: {why}"))).ok()
    }

    /// Asks for an order, and tallies the answer.
    pub(super) async fn order(&self, n: usize, member: &str, key: &str, token: Option<&str>) -> Reply {
        let call = self.before.order(member, key);
        let reply = self.pool.ask(&token.into_iter().fold(call, |call, token| call.admitted_by(token))).await;
        self.seen().tally.take(n, reply.asked, &reply.body);
        reply
    }

    /// Tries an admission that was used. One that has ended by now may be refused for that, and proves nothing.
    async fn used(&self, n: usize, member: &str, admission: &Admission) {
        let reply = self.order(n, member, &format!("used-{n:05}"), Some(&admission.token)).await;
        if !(reply.code() == "admission_expired" && admission.has_ended()) {
            self.judge("admission_used", &reply);
        }
    }

    /// Tries an admission that must be refused with this word.
    async fn worthless(&self, n: usize, member: &str, token: &str, code: &'static str) {
        let reply = self.order(n, member, &format!("{code}-{n}"), Some(token)).await;
        self.judge(code, &reply);
    }

    fn judge(&self, code: &'static str, reply: &Reply) {
        let mut seen = self.seen();
        let (tried, refused) = seen.worthless.entry(code).or_default();
        *tried += 1;
        let is_refused = reply.status() == 403 && reply.code() == code;
        *refused += u64::from(is_refused);
        if !is_refused {
            seen.wrong.push(format!("one to be refused as {code} was answered {}", reply.shown()));
        }
    }

    /// Lives a member's life.
    pub(super) async fn live(&self, n: usize, role: Role, seed: u64) -> Life {
        let mut life = Life::new(self.member("m", n));
        let Some(place) = self.arrive(n, &mut life).await else { return life };
        if let Some(admission) = place.admission {
            life.end = End::Through;
            if role == Role::Buys {
                self.buy(n, &life.member, &admission).await;
            }
            return life;
        }
        if role == Role::Away {
            life.end = End::Away;
            return life;
        }
        self.meddle(n, &mut life).await;
        if role == Role::Leaves {
            let wait = StdRng::seed_from_u64(seed ^ n as u64).random_range(0..LEAVE_WITHIN_MS);
            tokio::time::sleep(Duration::from_millis(wait)).await;
            self.leave(&mut life).await;
            return life;
        }
        let Some(admission) = self.wait(n, place, &mut life).await else { return life };
        life.turn = Some(Turn { granted_ms: admission.until.0 - self.turn_ms, seen_ms: admission.server_time.0 });
        self.lend(&admission);
        life.end = match role {
            Role::Lapses => self.come_too_late(n, &life.member, &admission).await,
            Role::Returns => self.give_back(n, &mut life, &admission).await,
            _ => self.use_it(n, &life.member, &admission).await,
        };
        life
    }

    /// Joins: once, from three tabs at once, or by ordering at once.
    async fn arrive(&self, n: usize, life: &mut Life) -> Option<Place> {
        #[derive(Deserialize)]
        struct Required {
            place: Place,
        }
        let member = life.member.clone();
        let call = self.before.join(&member);
        let replies = match n % SOME {
            0 => {
                let (a, b, c) = tokio::join!(self.pool.ask(&call), self.pool.ask(&call), self.pool.ask(&call));
                vec![a, b, c]
            }
            1 => {
                let reply = self.order(n, &member, &format!("knock-{n:05}"), None).await;
                match reply.status() {
                    // The door was closed.
                    202 => {
                        life.end = End::Through;
                        return None;
                    }
                    _ if !self.due("an order without an admission", &reply, &[403]) => return None,
                    _ => {}
                }
                let place = self.read::<Required>("an order without an admission", &reply)?.place;
                life.joined = place.number.map(|number| joined(&reply, number));
                life.hear(&place);
                return Some(place);
            }
            _ => vec![self.pool.ask(&call).await],
        };
        let mut first = None;
        for reply in replies {
            if !self.due("a join", &reply, &[200, 201]) {
                continue;
            }
            let place: Place = self.read("a join", &reply)?;
            life.hear(&place);
            if reply.status() == 201 {
                if life.joined.is_some() && reply.asked.repeats == 0 && !life.may_have_passed(self.turn_ms) {
                    self.seen().wrong.push(format!("{member} was given a place twice"));
                }
                life.joined = place.number.map(|number| joined(&reply, number));
            }
            // The door may open between his tabs: then he has a place, and an admission.
            if place.number.is_some() || first.is_none() {
                first = Some(place);
            }
        }
        first
    }

    /// Some join again, show a forged admission, or another member's.
    async fn meddle(&self, n: usize, life: &mut Life) {
        match n % SOME {
            2 => {
                let reply = self.pool.ask(&self.before.join(&life.member)).await;
                let anew = reply.status() == 201 && life.may_have_passed(self.turn_ms);
                if (anew || self.due("a second join", &reply, &[200]))
                    && let Some(place) = self.read::<Place>("a second join", &reply)
                {
                    if anew {
                        life.earlier = life.numbers.drain(..).next();
                        life.joined = place.number.map(|number| joined(&reply, number));
                    }
                    life.hear(&place);
                }
            }
            3 => {
                let forged =
                    format!("rooms~admission~{}~{}~1~{n}~9999999999999~{:064x}", self.before.sale, life.member, n);
                self.worthless(n, &life.member, &forged, "admission_forged").await;
            }
            4 => {
                let lent = self.lent().clone();
                if let Some(lent) = lent {
                    self.worthless(n, &life.member, &lent, "admission_foreign").await;
                }
            }
            _ => {}
        }
    }

    async fn leave(&self, life: &mut Life) {
        let reply = self.pool.ask(&self.before.leave(&life.member)).await;
        self.due("a leave", &reply, &[204]);
        let reply = self.pool.ask(&self.before.place(&life.member)).await;
        if self.due("a place that was left", &reply, &[200])
            && let Some(place) = self.read::<Place>("a place that was left", &reply)
            && place.status != "left"
            && !(place.status == "turn_passed" && life.may_have_passed(self.turn_ms))
        {
            self.seen().wrong.push(format!("a place that was left is {}", place.status));
        }
        life.end = End::Left;
    }

    /// Waits until it is his turn, and comes for it.
    async fn wait(&self, n: usize, mut place: Place, life: &mut Life) -> Option<Admission> {
        let began = Instant::now();
        let mut frames = self.frames.clone();
        // A number that the line has passed is called once; who was passed over while away asks as before.
        let mut called = false;
        while began.elapsed() < PATIENCE {
            match place.status.as_str() {
                "your_turn" => {
                    let reply = self.pool.ask(&self.before.admission(&life.member)).await;
                    match reply.status() {
                        200 => return self.read("an admission", &reply),
                        410 => {
                            life.end = End::Passed;
                            return None;
                        }
                        _ => self.due("an admission", &reply, &[202]),
                    };
                }
                "waiting" | "absent" => {}
                "turn_passed" => {
                    life.end = End::Passed;
                    return None;
                }
                other => {
                    self.seen().wrong.push(format!("one who waits is told {other}"));
                    return None;
                }
            }
            let number = place.number.unwrap_or(u64::MAX);
            let rest = Duration::from_millis(place.refresh_after_ms.unwrap_or(1_000));
            tokio::select! {
                () = tokio::time::sleep(rest) => {}
                () = passed(&mut frames, number), if !called => called = true,
            }
            let reply = self.pool.ask(&self.before.place(&life.member)).await;
            if !self.due("a look at a place", &reply, &[200]) {
                return None;
            }
            place = self.read("a place", &reply)?;
            life.hear(&place);
        }
        self.seen().wrong.push(format!("member {n} waits still: {place:?}"));
        None
    }

    /// Orders; the same key again is the same order. Whether he came in time: on a machine that is busy a turn may end on the way.
    pub(super) async fn buy(&self, n: usize, member: &str, admission: &Admission) -> bool {
        let key = format!("order-{n:05}");
        let reply = self.order(n, member, &key, Some(&admission.token)).await;
        if reply.code() == "admission_expired" && admission.has_ended() {
            return false;
        }
        if !self.due("an order with an admission", &reply, &[202]) {
            return false;
        }
        let again = self.pool.ask(&self.before.order(member, &key).admitted_by(&admission.token)).await;
        if self.due("the same order again", &again, &[202]) && named(&again) != named(&reply) {
            self.seen().wrong.push(format!("the same order again is another one: {:?}", named(&again)));
        }
        true
    }

    /// Buys; some come for the admission from another tab, some try it again once it is used.
    async fn use_it(&self, n: usize, member: &str, admission: &Admission) -> End {
        if n.is_multiple_of(SOME) {
            let reply = self.pool.ask(&self.before.admission(member)).await;
            if !admission.has_ended()
                && self.due("an admission from another tab", &reply, &[200])
                && let Some(again) = self.read::<Admission>("an admission", &reply)
                && again.until != admission.until
            {
                self.seen().wrong.push("an admission from another tab ends at another time".to_owned());
            }
        }
        if !self.buy(n, member, admission).await {
            return End::Passed;
        }
        if n % SOME == 5 && self.is_finished(member).await {
            self.used(n, member, admission).await;
        }
        End::Bought
    }

    /// Whether a turn was ended by its order.
    async fn is_finished(&self, member: &str) -> bool {
        let began = Instant::now();
        while began.elapsed() < END {
            let reply = self.pool.ask(&self.before.place(member)).await;
            let Some(place) = self.read::<Place>("a place", &reply) else { return false };
            match place.status.as_str() {
                "finished" => return true,
                "your_turn" => tokio::time::sleep(LOOK_EVERY).await,
                _ => return false,
            }
        }
        false
    }

    async fn come_too_late(&self, n: usize, member: &str, admission: &Admission) -> End {
        let left = u64::try_from(admission.until.0 - admission.server_time.0).unwrap_or(0);
        tokio::time::sleep(Duration::from_millis(left) + AFTER).await;
        self.worthless(n, member, &admission.token, "admission_expired").await;
        End::GaveUp
    }

    async fn give_back(&self, n: usize, life: &mut Life, admission: &Admission) -> End {
        self.leave(life).await;
        self.used(n, &life.member, admission).await;
        End::GaveUp
    }
}

/// Waits until the line has passed a number.
async fn passed(frames: &mut watch::Receiver<RoomFrame>, number: u64) {
    if frames.wait_for(|frame| frame.serving >= number).await.is_err() {
        // Nobody tells any more.
        std::future::pending::<()>().await;
    }
}

fn joined(reply: &Reply, number: u64) -> Joined {
    Joined { sent: reply.sent, answered: reply.answered, number }
}

/// The name of the order in an answer.
fn named(reply: &Reply) -> Option<String> {
    #[derive(Deserialize)]
    struct Named {
        id: String,
    }
    reply.json::<Named>().ok().map(|named| named.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_roles_and_three_in_ten_are_away() {
        assert_eq!(Role::draw(1, 3_000), Role::draw(1, 3_000));
        assert_ne!(Role::draw(1, 3_000), Role::draw(2, 3_000));
        for seed in 0..50 {
            let roles = Role::draw(seed, 3_000);
            let of = |role| roles.iter().filter(|other| **other == role).count();
            assert!(of(Role::Away).abs_diff(900) <= 101, "{}", of(Role::Away));
            assert!([Role::Leaves, Role::Lapses, Role::Returns, Role::Buys].iter().all(|role| of(*role) > 100));
        }
    }

    #[test]
    fn only_the_first_measured_wait_of_one_in_line_counts() {
        let mut life = Life::new("m".to_owned());
        let place = |status: &str, at_ms, known, about: f64| Place {
            status: status.to_owned(),
            number: Some(7),
            wait: Some(super::super::Wait { known, about_s: Some(about), at_most_s: Some(about) }),
            admission: None,
            refresh_after_ms: None,
            server_time: super::super::Ms(at_ms),
        };
        for told in
            [place("waiting", 0, false, 1.0), place("waiting", 1_000, true, 4.0), place("waiting", 2_000, true, 9.0)]
        {
            life.hear(&told);
        }
        assert!(life.estimate().is_none(), "his turn has not come");
        life.turn = Some(Turn { granted_ms: 4_500, seen_ms: 4_600 });
        let told = life.estimate().unwrap();
        assert!((told.about_s - 4.0).abs() < 1e-9 && (told.came_s - 3.5).abs() < 1e-9);
        assert_eq!(life.numbers, [7, 7, 7]);
    }
}
