//! What is killed in the middle of a load, and when: `redis@2000`, `sql@redis-back`, `kafka@settling`.
//!
//! Owns the words, which lists of kills can happen at all, and what has become of each. Kills nothing itself.

use std::fmt::{self, Display};
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use crate::report::Identity;

/// What can be killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Victim {
    /// A server; one after the other, where there are several.
    Server,
    /// Redis.
    Redis,
    /// The database.
    Sql,
    /// Kafka.
    Kafka,
}

impl Victim {
    /// All of them, in the order of a purchase.
    pub(crate) const ALL: [Self; 4] = [Self::Server, Self::Redis, Self::Sql, Self::Kafka];

    /// Its word on the command line.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Redis => "redis",
            Self::Sql => "sql",
            Self::Kafka => "kafka",
        }
    }
}

impl FromStr for Victim {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|victim| victim.word() == word);
        known.ok_or_else(|| format!("`{word}` is none of server, redis, sql, kafka"))
    }
}

/// When something is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Point {
    /// After so many answers.
    Answers(u64),
    /// As soon as another one is back from its first kill.
    Back(Victim),
    /// After the last answer, while orders are on their way to their end.
    Settling,
}

/// A kill that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kill {
    /// What is killed.
    pub(crate) victim: Victim,
    /// When.
    pub(crate) point: Point,
}

impl Display for Kill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@", self.victim.word())?;
        match self.point {
            Point::Answers(answers) => write!(f, "{answers}"),
            Point::Back(other) => write!(f, "{}-back", other.word()),
            Point::Settling => f.write_str("settling"),
        }
    }
}

impl FromStr for Kill {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (victim, point) = text.split_once('@').ok_or("a kill is WHAT@WHEN, such as redis@2000")?;
        let point = match point.strip_suffix("-back") {
            Some(other) => Point::Back(other.parse()?),
            None if point == "settling" => Point::Settling,
            None => match point.parse() {
                Ok(answers) if answers > 0 => Point::Answers(answers),
                _ => {
                    return Err(format!(
                        "`{point}` is no number of answers, no settling, and no redis-back or the like"
                    ));
                }
            },
        };
        Ok(Self { victim: victim.parse()?, point })
    }
}

/// Finds a kill whose time would never come, in a load of so many requests.
pub(crate) fn impossible(kills: &[Kill], requests: u64) -> Option<Kill> {
    let mut coming: Vec<bool> = kills.iter().map(|kill| kill.point == Point::Settling).collect();
    for _ in kills {
        for (n, kill) in kills.iter().enumerate() {
            coming[n] |= match kill.point {
                Point::Answers(answers) => answers <= requests,
                Point::Back(other) => kills.iter().zip(&coming).any(|(kill, coming)| *coming && kill.victim == other),
                Point::Settling => true,
            };
        }
    }
    kills.iter().zip(coming).find_map(|(kill, coming)| (!coming).then_some(*kill))
}

/// What has become of a kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Its time has not come.
    Waiting,
    /// Its time has come.
    Due,
    /// It is under way.
    Down { answers: u64, at: Instant },
    /// What was killed is back.
    Back { answers: u64, after: Duration },
}

/// The kills of a run: when each comes due, which have happened.
#[derive(Debug)]
pub(crate) struct Kills {
    asked: Vec<Kill>,
    states: Mutex<Vec<State>>,
    answered: AtomicU64,
    /// One permit for each that is due, by victim.
    due: [Semaphore; Victim::ALL.len()],
}

impl Kills {
    /// None has happened.
    pub(crate) fn of(asked: &[Kill]) -> Self {
        let states = Mutex::new(vec![State::Waiting; asked.len()]);
        let due = [const { Semaphore::const_new(0) }; Victim::ALL.len()];
        Self { asked: asked.to_vec(), states, answered: AtomicU64::new(0), due }
    }

    fn states(&self) -> MutexGuard<'_, Vec<State>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more answer has come; returns how many there are.
    pub(crate) fn answered(&self) -> u64 {
        let answered = self.answered.fetch_add(1, Ordering::Relaxed) + 1;
        if self.asked.iter().any(|kill| kill.point == Point::Answers(answered)) {
            self.reached(Point::Answers(answered));
        }
        answered
    }

    /// The last answer has come.
    pub(crate) fn settling(&self) {
        self.reached(Point::Settling);
    }

    fn reached(&self, point: Point) {
        for (kill, state) in self.asked.iter().zip(self.states().iter_mut()) {
            if kill.point == point && *state == State::Waiting {
                *state = State::Due;
                self.due[kill.victim as usize].add_permits(1);
            }
        }
    }

    /// Waits until a victim is to be killed; for ever, if it never is.
    pub(crate) async fn due(&self, victim: Victim) -> usize {
        if let Ok(permit) = self.due[victim as usize].acquire().await {
            permit.forget();
            let (answers, at) = (self.answered.load(Ordering::Relaxed), Instant::now());
            let mut states = self.states();
            let due = |n: &usize| self.asked[*n].victim == victim && states[*n] == State::Due;
            if let Some(n) = (0..self.asked.len()).find(due) {
                states[n] = State::Down { answers, at };
                return n;
            }
        }
        std::future::pending().await
    }

    /// What was killed is back.
    pub(crate) fn back(&self, kill: usize) {
        let state = self.states()[kill];
        if let State::Down { answers, at } = state {
            // What comes due by it does so first: at no moment does it look as if nothing were under way.
            self.reached(Point::Back(self.asked[kill].victim));
            self.states()[kill] = State::Back { answers, after: at.elapsed() };
        }
    }

    /// Whether a kill is due or under way.
    pub(crate) fn are_under_way(&self) -> bool {
        self.states().iter().any(|state| matches!(state, State::Due | State::Down { .. }))
    }

    /// Whether a kill of another than this one is due or under way.
    pub(crate) fn are_under_way_beside(&self, victim: Victim) -> bool {
        let down = |state: &State| matches!(state, State::Due | State::Down { .. });
        self.asked.iter().zip(self.states().iter()).any(|(kill, state)| kill.victim != victim && down(state))
    }

    /// That each has happened: a fault that was asked for and did not happen proves nothing.
    pub(crate) fn identities(&self) -> Vec<Identity> {
        let told = |(kill, state): (&Kill, &State)| match state {
            State::Back { answers, after } => {
                let seen = format!("after {answers} answers, back after {:.1} s", after.as_secs_f64());
                Identity::new(format!("killed {kill}"), true, seen)
            }
            State::Waiting => Identity::new(format!("killed {kill}"), false, "its time never came"),
            State::Due | State::Down { .. } => Identity::new(format!("killed {kill}"), false, "it is not back"),
        };
        self.asked.iter().zip(self.states().iter()).map(told).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kills(text: &str) -> Vec<Kill> {
        text.split_whitespace().map(|kill| kill.parse().unwrap()).collect()
    }

    async fn is_due(kills: &Kills, victim: Victim) -> Option<usize> {
        tokio::time::timeout(Duration::from_millis(1), kills.due(victim)).await.ok()
    }

    #[test]
    fn a_kill_is_written_as_it_is_read() {
        for text in ["server@1", "redis@2000", "sql@redis-back", "kafka@settling"] {
            assert_eq!(text.parse::<Kill>().unwrap().to_string(), text);
        }
        for bad in ["redis", "redis@", "redis@0", "redis@-1", "moon@5", "redis@moon-back", "redis@later"] {
            assert!(bad.parse::<Kill>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_kill_whose_time_never_comes_is_found() {
        for (text, bad) in [
            ("redis@100 sql@redis-back kafka@sql-back server@settling", None),
            ("redis@101", Some("redis@101")),
            ("redis@50 kafka@server-back", Some("kafka@server-back")),
            ("redis@sql-back sql@redis-back", Some("redis@sql-back")),
            ("redis@redis-back", Some("redis@redis-back")),
            ("redis@5 redis@redis-back", None),
        ] {
            assert_eq!(impossible(&kills(text), 100).map(|kill| kill.to_string()).as_deref(), bad, "{text}");
        }
    }

    #[tokio::test]
    async fn the_moment_to_kill_comes_at_the_answer_asked_for() {
        let kills = Kills::of(&kills("redis@2 server@3 redis@3"));
        kills.answered();
        assert_eq!(is_due(&kills, Victim::Redis).await, None, "one answer is not two");
        kills.answered();
        assert_eq!(is_due(&kills, Victim::Redis).await, Some(0));
        assert_eq!(is_due(&kills, Victim::Server).await, None);
        kills.answered();
        assert_eq!(is_due(&kills, Victim::Server).await, Some(1));
        assert_eq!(is_due(&kills, Victim::Redis).await, Some(2), "it is killed again");
        assert_eq!(is_due(&kills, Victim::Redis).await, None, "each once");
    }

    #[tokio::test]
    async fn one_kill_follows_the_return_of_another_and_is_under_way_at_once() {
        let kills = Kills::of(&kills("sql@settling redis@sql-back"));
        assert!(!kills.are_under_way());
        kills.settling();
        assert!(kills.are_under_way());
        let sql = is_due(&kills, Victim::Sql).await.unwrap();
        assert_eq!(is_due(&kills, Victim::Redis).await, None, "it is not back yet");
        kills.back(sql);
        assert!(kills.are_under_way());
        let redis = is_due(&kills, Victim::Redis).await.unwrap();
        assert!(kills.are_under_way());
        kills.back(redis);
        assert!(!kills.are_under_way());
        assert!(kills.identities().iter().all(|identity| identity.holds));
    }

    #[tokio::test]
    async fn a_kill_that_did_not_happen_fails_the_run() {
        let kills = Kills::of(&kills("redis@1 sql@2"));
        kills.answered();
        assert!(kills.identities().iter().all(|identity| !identity.holds), "due is not done");
        let redis = is_due(&kills, Victim::Redis).await.unwrap();
        kills.back(redis);
        let told: Vec<(bool, String)> = kills.identities().into_iter().map(|i| (i.holds, i.name)).collect();
        assert_eq!(told, [(true, "killed redis@1".to_owned()), (false, "killed sql@2".to_owned())]);
    }
}
