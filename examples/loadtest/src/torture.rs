//! Run after run of `safe-10k` on real servers, with every part of the system killed once in each.
//!
//! Owns which part is killed at which point of which run, and the table of what held. A run itself is [`run`](crate::run())'s.

use std::fmt::{self, Display, Write as _};
use std::path::PathBuf;
use std::time::Instant;

use clap::Parser as _;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{RngExt as _, SeedableRng as _};
use serde::Serialize;

use crate::kill::{Kill, Point, Victim};
use crate::report::Report;
use crate::sql::Kind;
use crate::{Arguments, Failure, Verb, run};

/// Where in a run something is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Moment {
    /// Among the first 1,500 answers.
    Early,
    /// About half of the answers have come.
    Middle,
    /// Hardly any buyer is left.
    Late,
    /// Another part has just come back.
    Back,
    /// The last answer has come; orders are on their way to their end.
    Settling,
}

impl Moment {
    const ALL: [Self; 5] = [Self::Early, Self::Middle, Self::Late, Self::Back, Self::Settling];

    fn says(self) -> &'static str {
        match self {
            Self::Early => "early, answers 1 to 1500",
            Self::Middle => "middle, 4000 to 6000",
            Self::Late => "late, 8500 to 9990",
            Self::Back => "another part is just back",
            Self::Settling => "orders settle",
        }
    }
}

/// What is to be played.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Torture {
    /// How many runs; after five, each part has been killed once at each kind of point
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rounds: u32,
    /// Chooses order and points; drawn and told, if not given
    #[arg(long)]
    seed: Option<u64>,
    /// Always this database; without it, PostgreSQL and MariaDB in turn
    #[arg(long, value_name = "DATABASE")]
    sql: Option<Kind>,
    /// Also write every run's report here, as one JSON object
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
    /// Keep the logs of the servers in this folder, a folder for each run
    #[arg(long, value_name = "FOLDER")]
    logs: Option<PathBuf>,
}

/// One run as it is planned.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Round {
    seed: u64,
    database: &'static str,
    kills: Vec<(Moment, Kill)>,
}

impl Round {
    /// The words with which the load tool plays it, and with which a person plays it again.
    fn words(&self) -> Vec<String> {
        let seed = self.seed.to_string();
        let wiring =
            ["run", "safe-10k", "--servers", "2", "--redis", "--kafka", "--sql", self.database, "--seed", &seed];
        let mut words: Vec<String> = wiring.map(str::to_owned).into();
        for (_, kill) in &self.kills {
            words.extend(["--kill".to_owned(), kill.to_string()]);
        }
        words
    }
}

/// Plans runs: in any five one after the other from the first, every part is killed once at every kind of point.
fn plan(seed: u64, rounds: u32, database: Option<Kind>) -> Vec<Round> {
    let mut chance = StdRng::seed_from_u64(seed);
    let (mut moments, mut victims) = (Moment::ALL, Victim::ALL);
    let round = |n: u32| {
        let turn = n as usize % moments.len();
        if turn == 0 {
            moments.shuffle(&mut chance);
            victims.shuffle(&mut chance);
        }
        let at = |n: usize| moments[(n + turn) % moments.len()];
        let kills = (0..victims.len()).map(|n| {
            let point = match at(n) {
                Moment::Early => Point::Answers(chance.random_range(1..=1_500)),
                Moment::Middle => Point::Answers(chance.random_range(4_000..=6_000)),
                Moment::Late => Point::Answers(chance.random_range(8_500..=9_990)),
                // The moments of a run differ, so this one waits for a part that waits for nobody.
                Moment::Back => {
                    let others: Vec<Victim> = victims.iter().copied().filter(|other| *other != victims[n]).collect();
                    Point::Back(*others.choose(&mut chance).unwrap_or(&victims[n]))
                }
                Moment::Settling => Point::Settling,
            };
            (at(n), Kill { victim: victims[n], point })
        });
        let kills = kills.collect();
        let database = match database {
            Some(Kind::Sqlite) => "sqlite",
            Some(Kind::Mariadb) => "mariadb",
            Some(Kind::Postgres) => "postgres",
            None if n.is_multiple_of(2) => "postgres",
            None => "mariadb",
        };
        Round { seed: seed.wrapping_add(u64::from(n)), database, kills }
    };
    (0..rounds).map(round).collect()
}

/// One run as it was played.
#[derive(Debug, Serialize)]
struct Played {
    seed: u64,
    database: &'static str,
    kills: Vec<Struck>,
    /// With which words it is played again.
    command: String,
    holds: bool,
    elapsed_s: f64,
    /// Why it could not be played to its end.
    failure: Option<String>,
    report: Option<Report>,
}

/// A kill and the kind of its point.
#[derive(Debug, Serialize)]
struct Struck {
    part: &'static str,
    moment: Moment,
    kill: String,
}

/// All runs.
#[derive(Debug, Serialize)]
pub(crate) struct Tortured {
    seed: u64,
    rounds: Vec<Played>,
}

/// Plays all runs, also after one that failed.
///
/// # Errors
/// [`Failure::Usage`] if a run cannot be asked for; what was found wrong is in what is returned.
pub(crate) async fn torture(wanted: Torture) -> Result<Tortured, Failure> {
    let drawn = || std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs();
    let seed = wanted.seed.unwrap_or_else(drawn);
    println!("torture --seed {seed} --rounds {}", wanted.rounds);
    let mut rounds = Vec::new();
    for (n, round) in plan(seed, wanted.rounds, wanted.sql).into_iter().enumerate() {
        let began = Instant::now();
        let words = round.words();
        let mut asked = words.clone();
        if let Some(logs) = &wanted.logs {
            asked.extend(["--logs".to_owned(), logs.join(format!("round-{n}")).display().to_string()]);
        }
        let played = match Arguments::try_parse_from(std::iter::once("flashsale-loadtest".to_owned()).chain(asked)) {
            Ok(Arguments { verb: Verb::Run(wish) }) => Box::pin(run(wish)).await,
            Ok(_) => Err(Failure::Usage("not a run".into())),
            Err(wrong) => Err(Failure::Usage(wrong.to_string())),
        };
        let (report, failure) = match played {
            Ok(report) => (Some(report), None),
            Err(usage @ Failure::Usage(_)) => return Err(usage),
            Err(failure) => (None, Some(failure.to_string())),
        };
        let struck = |(moment, kill): &(Moment, Kill)| Struck {
            part: kill.victim.word(),
            moment: *moment,
            kill: kill.to_string(),
        };
        let played = Played {
            seed: round.seed,
            database: round.database,
            kills: round.kills.iter().map(struck).collect(),
            command: format!("flashsale-loadtest {}", words.join(" ")),
            holds: report.as_ref().is_some_and(Report::passes),
            elapsed_s: (began.elapsed().as_secs_f64() * 10.0).round() / 10.0,
            failure,
            report,
        };
        println!("{played}");
        rounds.push(played);
    }
    Ok(Tortured { seed, rounds })
}

impl Tortured {
    /// Whether every run was played to its end, and held.
    pub(crate) fn holds(&self) -> bool {
        self.rounds.iter().all(|round| round.holds)
    }

    /// How many kills of a part at a kind of point there were, and in how many of those runs everything held.
    fn cell(&self, part: Victim, moment: Moment) -> (usize, usize) {
        let here = |round: &&Played| round.kills.iter().any(|s| s.part == part.word() && s.moment == moment);
        let rounds: Vec<&Played> = self.rounds.iter().filter(here).collect();
        (rounds.iter().filter(|round| round.holds).count(), rounds.len())
    }
}

/// A line for a run that held; for another, everything that is known of it.
impl Display for Played {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.holds { "holds" } else { "VIOLATED" };
        let kills: Vec<&str> = self.kills.iter().map(|struck| struck.kill.as_str()).collect();
        let audit = self.report.as_ref().map_or_else(
            || "no audit".to_owned(),
            |report| {
                let audit = report.audit;
                let counts = [audit.oversold, audit.lost, audit.leaked, audit.duplicated];
                format!("audit {}", counts.map(|count| count.to_string()).join("/"))
            },
        );
        write!(
            f,
            "{verdict:<9} seed {:<4} {:<9} {:<86} {audit}, {:.1} s",
            self.seed,
            self.database,
            kills.join(" "),
            self.elapsed_s
        )?;
        if let Some(failure) = &self.failure {
            write!(f, "\n{failure}")?;
        }
        if let (false, Some(report)) = (self.holds, &self.report) {
            write!(f, "\n{report}")?;
        }
        if self.holds { Ok(()) } else { write!(f, "\nagain: {}", self.command) }
    }
}

/// Crash points by parts: in how many of the runs with that kill everything held.
impl Display for Tortured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut head = format!("{:<28}", "killed, held / runs");
        for part in Victim::ALL {
            write!(head, "{:>10}", part.word())?;
        }
        writeln!(f, "{head}")?;
        for moment in Moment::ALL {
            write!(f, "{:<28}", moment.says())?;
            for part in Victim::ALL {
                let (held, of) = self.cell(part, moment);
                write!(f, "{:>10}", format!("{held}/{of}"))?;
            }
            writeln!(f)?;
        }
        let held = self.rounds.iter().filter(|round| round.holds).count();
        let verdict = if self.holds() { "holds" } else { "VIOLATED" };
        write!(f, "{verdict}: {held} of {} runs held, seed {}", self.rounds.len(), self.seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_five_runs_every_part_is_killed_once_at_every_kind_of_point() {
        for seed in 0..50 {
            let plan = plan(seed, 5, None);
            for victim in Victim::ALL {
                for moment in Moment::ALL {
                    let times = plan.iter().flat_map(|round| &round.kills);
                    let times = times.filter(|(at, kill)| *at == moment && kill.victim == victim).count();
                    assert_eq!(times, 1, "{victim:?} {moment:?} of seed {seed}");
                }
            }
        }
    }

    #[test]
    fn every_planned_run_can_be_asked_for_and_every_kill_of_it_comes() {
        for seed in 0..50 {
            for round in plan(seed, 10, None) {
                let words = std::iter::once("x".to_owned()).chain(round.words());
                let Verb::Run(wish) = Arguments::try_parse_from(words).unwrap().verb else { panic!("{round:?}") };
                wish.check().unwrap();
                assert_eq!(wish.kill.len(), 4);
            }
        }
    }

    #[test]
    fn the_same_seed_plans_the_same_runs_on_both_databases_in_turn() {
        let five = plan(7, 5, None);
        assert_eq!(five, plan(7, 5, None));
        assert_ne!(five, plan(8, 5, None));
        let databases: Vec<&str> = five.iter().map(|round| round.database).collect();
        assert_eq!(databases, ["postgres", "mariadb", "postgres", "mariadb", "postgres"]);
        assert!(plan(7, 5, Some(Kind::Mariadb)).iter().all(|round| round.database == "mariadb"));
    }

    fn played(round: &Round, holds: bool) -> Played {
        let struck = |(moment, kill): &(Moment, Kill)| Struck {
            part: kill.victim.word(),
            moment: *moment,
            kill: kill.to_string(),
        };
        Played {
            seed: round.seed,
            database: round.database,
            kills: round.kills.iter().map(struck).collect(),
            command: "again".into(),
            holds,
            elapsed_s: 1.0,
            failure: None,
            report: None,
        }
    }

    #[test]
    fn one_run_that_did_not_hold_is_seen_in_its_cells_and_in_the_verdict() {
        let plan = plan(1, 5, None);
        let mut all = Tortured { seed: 1, rounds: plan.iter().map(|round| played(round, true)).collect() };
        assert!(all.holds() && all.to_string().contains("holds: 5 of 5"));
        all.rounds[2].holds = false;
        assert!(!all.holds() && all.to_string().contains("VIOLATED: 4 of 5"));
        let (moment, kill) = plan[2].kills[0];
        assert_eq!(all.cell(kill.victim, moment), (0, 1));
        let (moment, kill) = plan[1].kills[0];
        assert_eq!(all.cell(kill.victim, moment), (1, 1));
    }
}
