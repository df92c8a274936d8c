//! Members claim the coupons of a campaign's window.
//!
//! Owns the loads `coupon-1000`, `coupon-one`, `coupon-one-key`, `coupon-day` and what must be true of each.

use std::collections::BTreeSet;
use std::time::Instant;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::Failure;
use crate::audit::Received;
use crate::client::{Call, Client, json, path};
use crate::ledger::{Ended, Scope};
use crate::report::Identity;
use crate::run::{Crowd, Tally};
use crate::scenario::{Played, Scenario, Stage, rfc3339};

/// Members of a window who get one.
const CAP: u64 = 100;
/// Claims in `coupon-1000`, `coupon-one`, `coupon-one-key`, and at each opening in `coupon-day`.
const CLAIMS: usize = 1_000;
/// Claims that come too early.
const EARLY: usize = 50;
/// Requests of `coupon-day`: early, at the opening, shortly before the next one, at the next one.
pub(super) const DAY_REQUESTS: usize = EARLY + CLAIMS + EARLY + (CLAIMS - CAP as usize);
const DAY_MS: i64 = 86_400_000;
/// 13:00 in Seoul is 04:00 UTC, all year.
const OPENS_UTC_MS: i64 = 4 * 3_600_000;
/// How long before an opening the early ones come: long enough for all of them to be early.
const EARLY_BY_MS: i64 = 60_000;

/// Writes down a campaign: 3,000 off from 10,000 up, with the wallet, valid one month, the first 100 of each window.
pub(super) async fn create(
    client: &mut Client,
    stage: &Stage,
    campaign: &str,
    at: &str,
    opens_at: Option<i64>,
) -> Result<(), Failure> {
    let mut terms = json!({
        "id": campaign, "daily_at": at, "zone": "Asia/Seoul", "cap": CAP, "takes_off": 3_000, "from": 10_000,
        "valid_months": 1, "only_with": "wallet",
    });
    if let Some(opens_at) = opens_at {
        terms["opens_at"] = Value::String(rfc3339(opens_at));
    }
    let call = Call::post(path("/v1/campaigns"), json(&terms)).by("operator").keyed(&stage.named("create-campaign"));
    client.insist(&call, &[201]).await?;
    Ok(())
}

/// A claim of `member` under `key`.
pub(super) fn claim(campaign: &str, member: &str, key: &str) -> Call {
    Call::post(path(&format!("/v1/campaigns/{campaign}/coupons")), json(&json!({}))).by(member).keyed(key)
}

/// The server's time in milliseconds, as far as it tells; else this machine's.
async fn server_now(client: &mut Client) -> Result<i64, Failure> {
    #[derive(Deserialize)]
    struct Told {
        server_time: Option<Value>,
    }
    client.insist(&Call::get(path("/v1/campaigns")), &[200]).await?;
    let told: Option<Told> = client.json().ok();
    let text = told.and_then(|told| told.server_time);
    let own = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_millis()).unwrap_or(i64::MAX);
    Ok(match text {
        Some(Value::String(text)) => text.parse::<jiff::Timestamp>().map_or(own, |at| at.as_millisecond()),
        Some(Value::Number(ms)) => ms.as_i64().unwrap_or(own),
        _ => own,
    })
}

/// The first 13:00 in Seoul that is more than two early spans after `now`.
fn opening_after(now: i64) -> i64 {
    let earliest = now + 2 * EARLY_BY_MS;
    let today = earliest - earliest.rem_euclid(DAY_MS) + OPENS_UTC_MS;
    if today >= earliest { today } else { today + DAY_MS }
}

/// Plays `coupon-1000`, `coupon-one` or `coupon-one-key`.
pub(super) async fn play(scenario: Scenario, stage: &Stage) -> Result<Played, Failure> {
    let mut client = Client::new(stage.first());
    let campaign = stage.named(&scenario.name());
    let now = server_now(&mut client).await?;
    // A window must not end in the middle of the run.
    let near = opening_after(now - 3 * EARLY_BY_MS) - now < 3 * EARLY_BY_MS;
    create(&mut client, stage, &campaign, if near { "01:00" } else { "13:00" }, None).await?;

    let at_a_time = if scenario == Scenario::Coupon1000 { 32 } else { CLAIMS };
    let mut crowd = Crowd::gather(&stage.servers, at_a_time, stage.watch.clone()).await;
    let (name, suffix) = (campaign.clone(), stage.suffix.clone());
    let began = Instant::now();
    let tally = crowd
        .send(0..CLAIMS, move |n| match scenario {
            Scenario::Coupon1000 => claim(&name, &format!("m{n}{suffix}"), "claim-once"),
            Scenario::CouponOne => claim(&name, &format!("one{suffix}"), &format!("claim-{n:04}")),
            _ => claim(&name, &format!("one{suffix}"), "claim-once"),
        })
        .await;
    let windows = stage.ledger.coupons(&campaign).await?;
    let rows = windows.iter().map(|(_, rows, _)| rows).sum();
    let members = windows.iter().map(|(_, _, members)| members).sum();
    let identities = identities(scenario, &tally, rows, members);
    finish(stage, &mut client, began, tally, campaign, rows, identities).await
}

fn identities(scenario: Scenario, tally: &Tally, rows: u64, members: u64) -> Vec<Identity> {
    let status = |status| tally.http.get(&status).copied().unwrap_or(0);
    let issued: BTreeSet<&str> = tally.won.iter().map(|won| won.id.as_str()).collect();
    match scenario {
        Scenario::Coupon1000 => vec![
            Identity::exact("issued", CAP, tally.accepted()),
            Identity::exact("answered 429", 900, status(429)),
            Identity::exact("429 that say when to come again", 900, tally.with_retry_after),
            Identity::exact("rows", CAP, rows),
            Identity::exact("distinct members", CAP, members),
        ],
        Scenario::CouponOne => {
            let right = tally.named.iter().filter(|(name, _)| issued.contains(name.as_str())).map(|(_, n)| n).sum();
            vec![
                Identity::exact("answered 201", 1, status(201)),
                Identity::exact("answered 409 that name the coupon", 999, right),
                Identity::exact("rows", 1, rows),
            ]
        }
        _ => vec![
            Identity::exact("answered 201", 1_000, status(201)),
            Identity::exact("distinct answers", 1, issued.len() as u64),
            Identity::exact("rows", 1, rows),
        ],
    }
}

/// Plays `coupon-day`, moving the server's clock.
pub(super) async fn play_day(stage: &Stage) -> Result<Played, Failure> {
    let mut client = Client::new(stage.first());
    let campaign = stage.named("coupon-day");
    let opens_at = opening_after(server_now(&mut client).await?);
    create(&mut client, stage, &campaign, "13:00", Some(opens_at)).await?;
    let mut crowd = Crowd::gather(&stage.servers, 32, stage.watch.clone()).await;
    let began = Instant::now();
    let (name, suffix) = (campaign.clone(), stage.suffix.clone());
    let press = move |phase: &'static str| {
        let (name, suffix) = (name.clone(), suffix.clone());
        move |n: usize| claim(&name, &format!("m{n}{suffix}"), &format!("claim-{phase}"))
    };

    stage.set_clock(opens_at - EARLY_BY_MS).await?;
    let early = crowd.send(0..EARLY, press("early")).await;
    stage.set_clock(opens_at).await?;
    let first = crowd.send(0..CLAIMS, press("first")).await;
    let unlucky = first.lost.clone();
    stage.set_clock(opens_at + DAY_MS - EARLY_BY_MS).await?;
    let again = {
        let (press, unlucky) = (press("again"), unlucky.clone());
        crowd.send(0..EARLY.min(unlucky.len()), move |k| press(unlucky[k])).await
    };
    stage.set_clock(opens_at + DAY_MS).await?;
    let next = {
        let (press, unlucky) = (press("next"), unlucky.clone());
        crowd.send(0..unlucky.len(), move |k| press(unlucky[k])).await
    };

    let windows = stage.ledger.coupons(&campaign).await?;
    let by_window: Vec<u64> = windows.iter().map(|(_, rows, _)| *rows).collect();
    let identities = vec![
        Identity::exact("not open before 13:00", EARLY as u64, early.refused_as("not_open")),
        Identity::exact("issued at 13:00", CAP, first.accepted()),
        Identity::exact("answered 429 on that day", CLAIMS as u64 - CAP, unlucky.len() as u64),
        Identity::exact("still exhausted before the next 13:00", EARLY as u64, again.refused_as("exhausted")),
        Identity::exact("issued on the next day to members who got 429 the day before", CAP, next.accepted()),
        Identity::new("each window has 100 rows", by_window == [CAP, CAP], format!("{by_window:?}")),
    ];
    let mut tally = early;
    for phase in [first, again, next] {
        tally.add(phase);
    }
    finish(stage, &mut client, began, tally, campaign, by_window.iter().sum(), identities).await
}

async fn finish(
    stage: &Stage,
    client: &mut Client,
    began: Instant,
    tally: Tally,
    campaign: String,
    rows: u64,
    identities: Vec<Identity>,
) -> Result<Played, Failure> {
    let scope = Scope { campaigns: vec![campaign], ..Scope::default() };
    let sales = stage.ledger.sales(&scope).await?;
    let settled = stage.settle(client, began, &sales).await?;
    let received = Received { coupons: tally.won.iter().map(|won| won.id.clone()).collect(), ..Received::default() };
    let ended = Ended { rows, confirmed: rows, ..Ended::default() };
    Ok(Played { tally, ended, left: 0, scope, received, settled, identities, estimate: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Won;

    fn at(text: &str) -> i64 {
        text.parse::<jiff::Timestamp>().unwrap().as_millisecond()
    }

    fn tally(won: usize, ids: usize, http: &[(u16, u64)]) -> Tally {
        let won = (0..won).map(|n| Won { n, id: format!("c~w~m{}", n % ids), no: None }).collect();
        Tally { won, http: http.iter().copied().collect(), ..Tally::default() }
    }

    #[test]
    fn the_next_opening_is_the_next_13_00_in_seoul() {
        assert_eq!(opening_after(at("2026-11-22T03:00:00Z")), at("2026-11-22T04:00:00Z"));
        assert_eq!(opening_after(at("2026-11-22T03:59:00Z")), at("2026-11-23T04:00:00Z"), "too near to be early");
        assert_eq!(opening_after(at("2026-11-22T23:59:00Z")), at("2026-11-23T04:00:00Z"));
    }

    #[test]
    fn a_hundred_and_first_coupon_is_seen() {
        let holds = |tally: &Tally, rows, members| {
            identities(Scenario::Coupon1000, tally, rows, members).iter().filter(|i| !i.holds).count()
        };
        let mut good = tally(100, 100, &[(201, 100), (429, 900)]);
        good.with_retry_after = 900;
        assert_eq!(holds(&good, 100, 100), 0);
        assert_eq!(holds(&good, 101, 101), 2);
        assert_eq!(holds(&good, 100, 99), 1);
    }

    #[test]
    fn a_409_that_names_another_coupon_is_seen() {
        let mut one = tally(1, 1, &[(201, 1), (409, 999)]);
        one.named = [("c~w~m0".to_owned(), 999)].into();
        assert!(identities(Scenario::CouponOne, &one, 1, 1).iter().all(|i| i.holds));
        one.named = [("c~w~m0".to_owned(), 998), ("c~w~other".to_owned(), 1)].into();
        assert!(!identities(Scenario::CouponOne, &one, 1, 1).iter().all(|i| i.holds));
    }

    #[test]
    fn a_second_answer_to_one_key_is_seen() {
        let same = tally(1_000, 1, &[(201, 1_000)]);
        assert!(identities(Scenario::CouponOneKey, &same, 1, 1).iter().all(|i| i.holds));
        let other = tally(1_000, 2, &[(201, 1_000)]);
        assert!(!identities(Scenario::CouponOneKey, &other, 1, 1).iter().all(|i| i.holds));
    }
}
