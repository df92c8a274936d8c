//! The scenarios by name, and the way from a name to a report.
//!
//! Owns the list and the order of a run: hello, load, settling, hello, audit. What a family of scenarios does is in its own file.

mod coupon;
mod restock;
mod room;
mod sale;
mod wallet;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use serde::Deserialize;

use crate::Failure;
use crate::audit::{Received, audit};
use crate::client::{Call, Client, json, path};
use crate::ledger::{Ended, Ledger, Scope};
use crate::line::EstimateError;
use crate::report::{Identity, Latency, Report, Wiring, tenth};
use crate::run::{Tally, Watch, hello_per_s};
use crate::server::Rates;

/// How long everything may take to settle after the last answer.
const SETTLE: Duration = Duration::from_secs(120);
/// How often is looked whether it has.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A scenario of the scenarios' page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// 10,000 members, 10 units; some leave the payment page, some are declined, what they had is sold again
    #[value(name = "plan-10k")]
    Plan10k,
    /// 10,000 orders, all buyable, 100 at a time; beside the lock that one source document measured
    Sync,
    /// The same load; beside the lock and cache that it measured next
    Cache,
    /// 50,000 members, 500 units, 20 % of payments decline; sold again until 500 are confirmed
    #[value(name = "event-500")]
    Event500,
    /// 50,000 members, 50,000 units, all pay
    #[value(name = "event-all")]
    EventAll,
    /// 10,000 members, 10,000 units; 20 % leave the sale's page, 20 % of payments decline
    #[value(name = "safe-10k")]
    Safe10k,
    /// 1,000 members claim 100 coupons, 32 at a time
    #[value(name = "coupon-1000")]
    Coupon1000,
    /// One member claims 1,000 times at once, each time with another key
    #[value(name = "coupon-one")]
    CouponOne,
    /// One member claims 1,000 times at once with one key
    #[value(name = "coupon-one-key")]
    CouponOneKey,
    /// Claims before, at and after 13:00 Asia/Seoul, and on the next day
    #[value(name = "coupon-day")]
    CouponDay,
    /// 1,000 charges and 1,000 trades at once, one key each
    #[value(name = "wallet-idem")]
    WalletIdem,
    /// A trade with a coupon, what is refused, and what an undone order gives back
    #[value(name = "wallet-coupon")]
    WalletCoupon,
    /// 10,000 members, 100 units: every winner arrived before every loser
    Fair,
    /// 3,000 members join a waiting room that opens and closes by itself; 30 % never come back
    #[value(name = "room-burst")]
    RoomBurst,
    /// 400 members in a waiting room, 100 units: every winner stood before every loser
    #[value(name = "fair-room")]
    FairRoom,
    /// 50 members on the waitlist, 10 units come back, half of the offers lapse; none is sold to the public
    Restock,
}

/// Where a scenario is played.
#[derive(Debug)]
pub(crate) struct Stage {
    /// The servers: one, or several over the same gate and ledger.
    pub(crate) servers: Vec<SocketAddr>,
    /// Their database, for reading.
    pub(crate) ledger: Ledger,
    /// Chooses who leaves.
    pub(crate) seed: u64,
    /// Ends every name that the run makes, so that runs against one server do not meet.
    pub(crate) suffix: String,
    /// How many play, where the scenario lets that be chosen.
    pub(crate) members: Option<usize>,
    /// Counts answers.
    pub(crate) watch: Arc<Watch>,
    /// Where the scenario moved the clock of the servers, and when.
    pub(crate) clock: Mutex<Option<(i64, Instant)>>,
}

/// What a scenario leaves behind.
#[derive(Debug)]
pub(crate) struct Played {
    tally: Tally,
    ended: Ended,
    /// Members who left before ordering, by the tool's own count.
    left: u64,
    scope: Scope,
    received: Received,
    settled: Duration,
    identities: Vec<Identity>,
    estimate: Option<EstimateError>,
}

impl Scenario {
    /// The name on the command line and in reports.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// One sentence on what it does.
    pub(crate) fn says(self) -> String {
        self.to_possible_value().and_then(|value| value.get_help().map(ToString::to_string)).unwrap_or_default()
    }

    /// Whether it moves the clock of the servers.
    pub(crate) fn moves_the_clock(self) -> bool {
        self == Self::CouponDay
    }

    /// Whether it compares the numbers that one gate, or one room, gave: one that is loaded anew begins again with 1.
    pub(crate) fn compares_numbers(self) -> bool {
        matches!(self, Self::Fair | Self::RoomBurst | Self::FairRoom)
    }

    /// Whether one may choose how many play.
    pub(crate) fn takes_members(self) -> bool {
        self == Self::RoomBurst
    }

    /// How long a member of the waitlist has to take an offer, in seconds, where the scenario needs another time than the server's own.
    pub(crate) fn offer_within_s(self) -> Option<u64> {
        (self == Self::Restock).then_some(restock::OFFER_WITHIN_S)
    }

    /// What the simulated payment has to do for it.
    pub(crate) fn rates(self) -> Rates {
        match self {
            Self::Plan10k => Rates { decline: 0.2, leave: 0.2 },
            Self::Event500 | Self::Safe10k => Rates { decline: 0.2, leave: 0.0 },
            _ => Rates::NONE,
        }
    }

    /// How many requests it sends, at least: the length of the progress bar.
    pub(crate) fn requests(self) -> usize {
        match self {
            Self::Plan10k | Self::Sync | Self::Cache | Self::Safe10k | Self::Fair => 10_000,
            Self::Event500 | Self::EventAll => 50_000,
            Self::Coupon1000 | Self::CouponOne | Self::CouponOneKey => 1_000,
            Self::CouponDay => coupon::DAY_REQUESTS,
            Self::WalletIdem => 2_000,
            Self::WalletCoupon => wallet::COUPON_REQUESTS,
            Self::RoomBurst => room::burst::MEMBERS,
            Self::FairRoom => room::fair::MEMBERS,
            Self::Restock => restock::REQUESTS,
        }
    }

    /// Plays it and audits the rows.
    ///
    /// # Errors
    /// [`Failure`] if it could not be played; what was found wrong is in the report.
    pub(crate) async fn play(self, stage: &Stage, commit: String) -> Result<Report, Failure> {
        let wiring = stage.wiring().await?;
        let before = hello_per_s(stage.first()).await;
        stage.watch.begin();
        let played = match self {
            Self::Plan10k | Self::Sync | Self::Cache | Self::Event500 | Self::EventAll | Self::Safe10k | Self::Fair => {
                sale::play(self, stage).await?
            }
            Self::Coupon1000 | Self::CouponOne | Self::CouponOneKey => coupon::play(self, stage).await?,
            Self::CouponDay => coupon::play_day(stage).await?,
            Self::WalletIdem => wallet::play_idem(stage).await?,
            Self::WalletCoupon => wallet::play_coupon(stage).await?,
            Self::RoomBurst => room::burst::play(stage).await?,
            Self::FairRoom => room::fair::play(stage).await?,
            Self::Restock => restock::play(stage).await?,
        };
        stage.watch.end();
        let after = hello_per_s(stage.first()).await;
        let audit = audit(&stage.ledger, &played.scope, &played.received).await?;
        let Played { tally, ended, .. } = played;
        let elapsed_s = tally.elapsed().as_secs_f64();
        let answered = tally.http.values().sum::<u64>();
        Ok(Report {
            scenario: self.name(),
            wiring,
            commit,
            seed: stage.seed,
            requests: tally.requests,
            accepted: tally.accepted(),
            confirmed: ended.confirmed,
            declined: ended.declined,
            left: played.left + ended.left,
            unanswered: tally.unanswered.len() as u64,
            winners_ms: Latency::of(&tally.winners),
            losers_ms: Latency::of(&tally.losers),
            elapsed_s: (elapsed_s * 1e3).round() / 1e3,
            settled_s: (played.settled.as_secs_f64() * 1e3).round() / 1e3,
            confirmed_per_s: tenth(ended.confirmed as f64 / elapsed_s),
            answered_per_s: tenth(answered as f64 / elapsed_s),
            hello_per_s: tenth(f64::midpoint(before, after)),
            repeats: tally.repeats,
            refused: tally.refused,
            http: tally.http,
            estimate: played.estimate,
            audit,
            identities: played.identities,
        })
    }
}

impl Stage {
    /// The server that is asked where one suffices.
    pub(crate) fn first(&self) -> SocketAddr {
        self.servers[0]
    }

    /// What stands behind the servers, by their own word.
    ///
    /// # Errors
    /// [`Failure::Server`] if they are wired differently.
    async fn wiring(&self) -> Result<Wiring, Failure> {
        let mut told: Vec<Wiring> = Vec::new();
        for server in &self.servers {
            let mut client = Client::new(*server);
            client.insist(&Call::get(path("/version")), &[200]).await?;
            told.push(client.json()?);
        }
        let wiring = told.swap_remove(0);
        match told.iter().find(|other| **other != wiring) {
            Some(other) => Err(Failure::Server(format!("one has {wiring:?}, another {other:?}"))),
            None => Ok(Wiring { servers: self.servers.len(), ..wiring }),
        }
    }

    /// Moves the clock of every server.
    pub(crate) async fn set_clock(&self, to: i64) -> Result<(), Failure> {
        // Before it is moved: a server that is started meanwhile must not be behind.
        *self.clock.lock().unwrap_or_else(PoisonError::into_inner) = Some((to, Instant::now()));
        let body = json(&serde_json::json!({ "now": rfc3339(to) }));
        let call = Call::put(path("/dev/v1/clock"), body).by("operator").keyed(&format!("clock-{to}"));
        for server in &self.servers {
            Client::new(*server).insist(&call, &[200, 204]).await?;
        }
        Ok(())
    }

    /// Where the clock of a server that is started now has to stand, in milliseconds; zero where it was not moved.
    pub(crate) fn clock_at_ms(&self) -> i64 {
        let moved = *self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        moved.map_or(0, |(to, at)| to.saturating_add(i64::try_from(at.elapsed().as_millis()).unwrap_or(i64::MAX)))
    }

    /// A name that no other run has.
    pub(crate) fn named(&self, stem: &str) -> String {
        format!("{stem}{}", self.suffix)
    }

    /// Waits until nothing is on its way: no open order, no unsent event, no hold, no kill. Says when, counted from `began`.
    ///
    /// # Errors
    /// [`Failure::Server`] if it does not settle in time.
    pub(crate) async fn settle(
        &self,
        client: &mut Client,
        began: Instant,
        sales: &[String],
    ) -> Result<Duration, Failure> {
        #[derive(Deserialize, Debug, Default)]
        struct Settled {
            open_orders: u64,
            unsent_events: u64,
            holds: u64,
        }
        self.watch.kills.settling();
        let look = Call::get(path("/dev/v1/settled"));
        let deadline = Instant::now() + SETTLE;
        loop {
            let said: Settled = match client.ask(&look).await.answer {
                Some(answer) if answer.status == 200 => client.json()?,
                // A server without the development routes: the rows tell most of it.
                _ => Settled::default(),
            };
            if said.open_orders + said.unsent_events + said.holds == 0 && !self.watch.kills.are_under_way() {
                let mut open = 0;
                for sale in sales {
                    open += self.ledger.free_and_open(sale).await?.1;
                }
                if open == 0 {
                    return Ok(began.elapsed());
                }
            }
            if Instant::now() > deadline {
                return Err(Failure::Server(format!("it does not settle: {said:?}")));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// RFC 3339 for a point in milliseconds since the epoch.
pub(crate) fn rfc3339(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |at| at.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_has_a_name_and_a_sentence() {
        let names: Vec<String> = Scenario::value_variants().iter().map(|s| s.name()).collect();
        let due = "plan-10k sync cache event-500 event-all safe-10k coupon-1000 coupon-one coupon-one-key coupon-day \
                   wallet-idem wallet-coupon fair room-burst fair-room restock";
        assert_eq!(names.join(" "), due.split_whitespace().collect::<Vec<_>>().join(" "));
        assert!(Scenario::value_variants().iter().all(|s| !s.says().is_empty() && s.requests() > 0));
    }

    #[test]
    fn a_point_in_time_is_written_in_utc() {
        assert_eq!(rfc3339(1_700_000_000_000), "2023-11-14T22:13:20Z");
    }
}
