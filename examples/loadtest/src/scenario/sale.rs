//! Members press for the units of one sale, one request each.
//!
//! Owns the loads `plan-10k`, `sync`, `cache`, `event-500`, `event-all`, `safe-10k`, `fair` and what must be true of each.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;

use crate::Failure;
use crate::audit::Received;
use crate::client::{Call, Client, json, path};
use crate::ledger::{Ended, Scope};
use crate::report::Identity;
use crate::run::{Crowd, Tally};
use crate::scenario::{Played, Scenario, Stage};

/// What one unit costs.
const PRICE: u64 = 10_000;
/// The share of members who leave the sale's page without ordering, in `safe-10k`.
const LEAVE: f64 = 0.2;
/// One in so many members comes late, where returned units are to be sold again: somebody has to be there to buy them.
const LATECOMERS: usize = 10;
/// How long latecomers wait before they look again whether a unit came back.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// The load of a scenario.
struct Load {
    requests: usize,
    at_a_time: usize,
    units: usize,
    returns: Returns,
}

/// What becomes of units that a declined payment gives back.
#[derive(PartialEq)]
enum Returns {
    /// Nobody waits for them.
    Stay,
    /// They are sold again to those who come late, until none is left and nobody is paying.
    Resold,
}

fn load(scenario: Scenario) -> Load {
    let (at_a_time, units, returns) = match scenario {
        Scenario::Plan10k => (32, 10, Returns::Resold),
        Scenario::Event500 => (100, 500, Returns::Resold),
        Scenario::EventAll => (100, 50_000, Returns::Stay),
        Scenario::Fair => (100, 100, Returns::Stay),
        _ => (100, 10_000, Returns::Stay),
    };
    Load { requests: scenario.requests(), at_a_time, units, returns }
}

/// Plays one of them.
pub(super) async fn play(scenario: Scenario, stage: &Stage) -> Result<Played, Failure> {
    let load = load(scenario);
    let sale = stage.named(&scenario.name());
    let mut client = Client::new(stage.first());
    let terms = json!({
        "id": sale, "hold_ms": 10_000, "pay_within_s": 60,
        "items": [{ "id": "unit", "total": load.units, "price": PRICE, "per_buyer": 1 }],
    });
    let create = Call::post(path("/v1/sales"), json(&terms)).by("operator").keyed(&stage.named("create-sale"));
    client.insist(&create, &[201]).await?;
    let page = Call::get(path(&format!("/v1/sales/{sale}")));
    client.insist(&page, &[200]).await?;

    let leavers = Arc::new(match scenario {
        Scenario::Safe10k => leavers(stage.seed, load.requests),
        _ => vec![false; load.requests],
    });
    let left = leavers.iter().filter(|leaves| **leaves).count() as u64;
    let order = json(&json!({ "sale": sale, "lines": [{ "item": "unit", "quantity": 1 }] }));
    let orders = path("/v1/orders");
    let suffix = stage.suffix.clone();
    let make = move |n: usize| {
        if leavers[n] {
            return page.clone();
        }
        Call::post(orders.clone(), order.clone()).by(&format!("m{n}{suffix}")).keyed(&format!("order-{n:05}"))
    };

    let mut crowd = Crowd::gather(&stage.servers, load.at_a_time, stage.watch.clone()).await;
    let early = match load.returns {
        Returns::Stay => load.requests,
        Returns::Resold => load.requests - load.requests / LATECOMERS,
    };
    let began = Instant::now();
    let mut tally = crowd.send(0..early, make.clone()).await;
    latecomers(stage, &sale, &mut crowd, &mut tally, early, load.requests, make).await?;
    let scope = Scope { sales: vec![sale.clone()], ..Scope::default() };
    let settled = stage.settle(&mut client, began, &scope.sales).await?;
    let ended = stage.ledger.ended(&sale).await?;
    let received = Received { orders: tally.won.iter().map(|won| won.id.clone()).collect(), ..Received::default() };
    let identities = identities(scenario, &load, &tally, ended, left);
    Ok(Played { tally, ended, left, scope, received, settled, identities, estimate: None })
}

/// Sends the rest: as many at a time as units came back, and everybody who is left once nothing can come back any more.
async fn latecomers<F>(
    stage: &Stage,
    sale: &str,
    crowd: &mut Crowd,
    tally: &mut Tally,
    mut next: usize,
    end: usize,
    make: F,
) -> Result<(), Failure>
where
    F: Fn(usize) -> Call + Clone + Send + Sync + 'static,
{
    while next < end {
        let (free, open) = stage.ledger.free_and_open(sale).await?;
        let wave = match (usize::try_from(free).unwrap_or(usize::MAX), open) {
            (0, 0) => end - next,
            (0, _) => 0,
            (free, _) => free.min(end - next),
        };
        let before = tally.accepted();
        tally.add(crowd.send(next..next + wave, make.clone()).await);
        next += wave;
        // Nobody won: the gate has not heard of the units yet, or there are none.
        if tally.accepted() == before {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
    Ok(())
}

/// Who leaves, by the seed.
fn leavers(seed: u64, requests: usize) -> Vec<bool> {
    let mut chance = StdRng::seed_from_u64(seed);
    (0..requests).map(|_| chance.random_bool(LEAVE)).collect()
}

fn identities(scenario: Scenario, load: &Load, tally: &Tally, ended: Ended, left: u64) -> Vec<Identity> {
    let requests = load.requests as u64;
    let Ended { rows, confirmed, declined, left: left_page, open } = ended;
    let accepted = tally.accepted();
    match scenario {
        Scenario::Plan10k => {
            let sum = left_page + tally.sold_out() + declined + confirmed;
            vec![
                Identity::exact("sold", 10, confirmed),
                Identity::new(
                    "requests = left + sold-out + declined + sold",
                    sum == requests,
                    format!("{requests} = {left_page} + {} + {declined} + {confirmed}", tally.sold_out()),
                ),
            ]
        }
        Scenario::Event500 => vec![
            Identity::exact("confirmed", 500, confirmed),
            Identity::new(
                "accepted = confirmed + declined",
                accepted == confirmed + declined,
                format!("{accepted} = {confirmed} + {declined}"),
            ),
            Identity::band("declined", 125, 45, declined),
        ],
        Scenario::EventAll => vec![Identity::exact("confirmed", 50_000, confirmed)],
        Scenario::Safe10k => vec![
            Identity::new(
                "left + confirmed + declined = 10000",
                left + confirmed + declined == requests,
                format!("{left} + {confirmed} + {declined}"),
            ),
            Identity::band("left", 2_000, 160, left),
            Identity::band("confirmed", 6_400, 192, confirmed),
            Identity::new(
                "those who leave before ordering leave no order row",
                rows == requests - left,
                format!("{rows} rows of {} orders", requests - left),
            ),
        ],
        Scenario::Fair => {
            let last = tally.won.iter().map(|won| won.no).max().flatten();
            let numbered = tally.won.iter().all(|won| won.no.is_some());
            let first = tally.after_least;
            let ordered = numbered && matches!((last, first), (Some(last), Some(first)) if last <= first);
            let shown = |no: Option<u64>| no.map_or_else(|| "none".to_owned(), |no| no.to_string());
            vec![
                Identity::exact("accepted", 100, accepted),
                Identity::new(
                    "every winner arrived before every loser",
                    ordered,
                    format!("last winner {}, first loser after {}", shown(last), shown(first)),
                ),
            ]
        }
        _ => vec![
            Identity::new("accepted = requests", accepted == requests, format!("{accepted} = {requests}")),
            Identity::exact("still open", 0, open),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Won;

    fn holds(scenario: Scenario, tally: &Tally, ended: Ended, left: u64) -> Vec<bool> {
        identities(scenario, &load(scenario), tally, ended, left).iter().map(|i| i.holds).collect()
    }

    fn tally(accepted: usize, sold_out: u64) -> Tally {
        let won = (0..accepted).map(|n| Won { n, id: format!("m~{n}"), no: Some(n as u64 + 1) }).collect();
        Tally { won, refused: [("sold_out".to_owned(), sold_out)].into(), ..Tally::default() }
    }

    fn ended(confirmed: u64, declined: u64, left: u64) -> Ended {
        Ended { rows: confirmed + declined + left, confirmed, declined, left, open: 0 }
    }

    #[test]
    fn the_same_seed_sends_the_same_members_away() {
        assert_eq!(leavers(1, 10_000), leavers(1, 10_000));
        assert_ne!(leavers(1, 10_000), leavers(2, 10_000));
        for seed in 0..100 {
            let left = leavers(seed, 10_000).iter().filter(|l| **l).count() as u64;
            assert!(left.abs_diff(2_000) <= 160, "{left}");
        }
    }

    #[test]
    fn a_plan_that_sells_eleven_or_loses_a_request_is_seen() {
        assert_eq!(holds(Scenario::Plan10k, &tally(16, 9_984), ended(10, 3, 3), 0), [true, true]);
        assert_eq!(holds(Scenario::Plan10k, &tally(17, 9_983), ended(11, 3, 3), 0), [false, true]);
        assert_eq!(holds(Scenario::Plan10k, &tally(16, 9_983), ended(10, 3, 3), 0), [true, false]);
    }

    #[test]
    fn an_event_that_stops_short_is_seen() {
        assert_eq!(holds(Scenario::Event500, &tally(620, 49_380), ended(500, 120, 0), 0), [true, true, true]);
        assert_eq!(holds(Scenario::Event500, &tally(620, 49_380), ended(499, 121, 0), 0), [false, true, true]);
        assert_eq!(holds(Scenario::Event500, &tally(621, 49_379), ended(500, 120, 0), 0), [true, false, true]);
        assert_eq!(holds(Scenario::Event500, &tally(700, 49_300), ended(500, 200, 0), 0), [true, true, false]);
    }

    #[test]
    fn a_row_of_somebody_who_left_is_seen() {
        assert_eq!(holds(Scenario::Safe10k, &tally(8_000, 0), ended(6_400, 1_600, 0), 2_000), [true; 4]);
        let row = Ended { rows: 8_001, ..ended(6_400, 1_600, 0) };
        assert_eq!(holds(Scenario::Safe10k, &tally(8_000, 0), row, 2_000), [true, true, true, false]);
        assert_eq!(
            holds(Scenario::Safe10k, &tally(8_000, 0), ended(6_593, 1_407, 0), 2_000),
            [true, true, false, true]
        );
    }

    #[test]
    fn a_winner_behind_a_loser_is_seen() {
        let fair = |after, last| {
            let mut tally = Tally { after_least: after, ..tally(100, 9_900) };
            tally.won[40].no = last;
            holds(Scenario::Fair, &tally, ended(100, 0, 0), 0)
        };
        assert_eq!(fair(Some(100), Some(41)), [true, true]);
        assert_eq!(fair(Some(99), Some(41)), [true, false], "number 100 won and a loser came after 99");
        assert_eq!(fair(Some(100), Some(500)), [true, false]);
        assert_eq!(fair(Some(100), None), [true, false], "an answer without a number proves nothing");
        assert_eq!(fair(None, Some(41)), [true, false]);
    }
}
