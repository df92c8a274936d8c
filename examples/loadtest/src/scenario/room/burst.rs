//! `room-burst`: arrivals over the threshold, then below; what must be true of the room meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;

use super::life::{End, Life, Role, Rush};
use super::{Before, Place};
use crate::Failure;
use crate::audit::Received;
use crate::client::Client;
use crate::ledger::Scope;
use crate::line::{EstimateError, Joined, most_at_once, most_within, overtaken};
use crate::pool::Pool;
use crate::report::Identity;
use crate::run::Tally;
use crate::scenario::{Played, Stage};
use crate::stream::{Listener, RoomFrame};

/// Who join in the burst, unless the run says otherwise.
pub(in crate::scenario) const MEMBERS: usize = 3_000;
/// Members who come before it, and after it: below the threshold.
const EARLY: usize = 100;
const LATE: usize = 10;
const AT_A_TIME: usize = 64;
const UNITS: usize = 100_000;
const OPENS_ABOVE: usize = 200;
/// Sixty a second; as many at once as half a minute's sluggards would fill.
const PER_SECOND: usize = 60;
const CAPACITY: usize = 60;
const TURN_S: i64 = 3;
/// Long enough for three of the looks that a waiter is asked for.
const ABSENT_AFTER_S: u64 = 4;
/// How long a room may take to close when nobody waits any more.
const CLOSES_WITHIN: Duration = Duration::from_secs(20);
/// How often somebody comes meanwhile: a fifth of what would keep it open.
const TRICKLE: Duration = Duration::from_millis(200);
/// The error that nine of ten waits may have when they are first told, in seconds or as a part of the wait that came: whichever is kept. The line of this
/// scenario gets twice as fast while they wait, once absentees are known as such; what was measured before that is told too long.
const ERROR_P90_S: f64 = 3.0;
const ERROR_P90: f64 = 0.75;

/// Plays it.
pub(in crate::scenario) async fn play(stage: &Stage) -> Result<Played, Failure> {
    let room = json!({
        "open_above": OPENS_ABOVE, "open_within_s": 2, "close_below": 50, "admit_per_minute": PER_SECOND * 60,
        "capacity": CAPACITY, "turn_s": TURN_S, "absent_after_s": ABSENT_AFTER_S,
    });
    let before = Before::open(stage, "room-burst", UNITS, room).await?;
    let listeners: Vec<Listener> = stage.servers.iter().map(|server| Listener::to(*server, &before.sale)).collect();
    let rush = Arc::new(Rush {
        before,
        pool: Pool::gather(&stage.servers, AT_A_TIME, stage.watch.clone()).await,
        frames: listeners[0].newest(),
        turn_ms: TURN_S * 1_000,
        suffix: stage.suffix.clone(),
        seen: std::sync::Mutex::default(),
        lent: std::sync::Mutex::default(),
    });
    let began = Instant::now();
    let early = straight_through(&rush, "early", EARLY).await;
    let lives = burst(stage, &rush).await;
    let closed = until_closed(&rush).await;
    let late = straight_through(&rush, "late", LATE).await;

    let sale = rush.before.sale.clone();
    let mut client = Client::new(stage.first());
    let scope = Scope { sales: vec![sale.clone()], ..Scope::default() };
    let settled = stage.settle(&mut client, began, &scope.sales).await?;
    let ended = stage.ledger.ended(&sale).await?;
    let buyers = stage.ledger.buyers(&sale).await?;
    let frames = listeners.iter().map(Listener::seen).collect::<Vec<_>>();
    let (mut tally, wrong, worthless) = {
        let mut seen = rush.seen();
        (std::mem::take(&mut seen.tally), std::mem::take(&mut seen.wrong), std::mem::take(&mut seen.worthless))
    };
    tally.span = Some((began, Instant::now()));
    let estimate = EstimateError::of(&lives.iter().filter_map(Life::estimate).collect::<Vec<_>>());
    let straight = [early, late].map(|members| members.len());
    let mut identities = vec![
        Identity::exact("straight through before the burst", EARLY, straight[0]),
        Identity::exact("straight through after it", LATE, straight[1]),
        Identity::new("every answer is as promised", wrong.is_empty(), shown(&wrong)),
    ];
    identities.extend(of_door(&frames, closed));
    identities.extend(of_places(&lives));
    identities.extend(of_turns(&lives, &frames));
    identities.extend(of_worthless(&worthless));
    identities.extend(of_orders(&lives, &tally, &buyers, ended.confirmed, EARLY + LATE));
    identities.extend(estimate.map(of_estimate));
    let left = lives.iter().filter(|life| matches!(life.end, End::Left | End::Away)).count() as u64;
    let received = Received { orders: tally.won.iter().map(|won| won.id.clone()).collect(), ..Received::default() };
    Ok(Played { tally, ended, left, scope, received, settled, identities, estimate })
}

/// Members who come while the door is closed: their join tells them so, and they buy. Gives those for whom it was so.
async fn straight_through(rush: &Arc<Rush>, stem: &str, members: usize) -> Vec<String> {
    let mut through = Vec::new();
    for n in 0..members {
        let member = rush.member(stem, n);
        let reply = rush.pool.ask(&rush.before.join(&member)).await;
        let place = reply.json::<Place>().ok().filter(|place| place.status == "not_needed");
        let Some(admission) = place.and_then(|place| place.admission) else { continue };
        rush.lend(&admission);
        if rush.buy(n, &member, &admission).await {
            through.push(member);
        }
    }
    through
}

/// All members of the burst, at once.
async fn burst(stage: &Stage, rush: &Arc<Rush>) -> Vec<Life> {
    let members = stage.members.unwrap_or(MEMBERS);
    let mut living = JoinSet::new();
    for (n, role) in Role::draw(stage.seed, members).into_iter().enumerate() {
        let (rush, seed) = (rush.clone(), stage.seed);
        living.spawn(async move { rush.live(n, role, seed).await });
    }
    living.join_all().await
}

/// Waits until the room has closed by itself, while somebody comes now and then, and leaves again.
async fn until_closed(rush: &Arc<Rush>) -> bool {
    let began = Instant::now();
    let mut n = 0;
    while began.elapsed() < CLOSES_WITHIN {
        let is_closed = {
            let newest = rush.frames.borrow();
            !newest.open && newest.waiting == 0
        };
        if is_closed {
            return true;
        }
        let member = rush.member("trickle", n);
        rush.pool.ask(&rush.before.join(&member)).await;
        rush.pool.ask(&rush.before.leave(&member)).await;
        n += 1;
        tokio::time::sleep(TRICKLE).await;
    }
    false
}

fn shown(wrong: &[String]) -> String {
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    wrong.iter().for_each(|what| *kinds.entry(what).or_default() += 1);
    match wrong {
        [] => "all".to_owned(),
        _ => kinds.iter().map(|(what, times)| format!("{times} times {what}")).collect::<Vec<_>>().join(", "),
    }
}

/// The door opened and closed by itself, as every server told it.
fn of_door(frames: &[Vec<RoomFrame>], closed: bool) -> Vec<Identity> {
    let turns = frames.iter().map(|of_server| {
        let mut doors: Vec<bool> = of_server.iter().map(|frame| frame.open).collect();
        doors.dedup();
        doors
    });
    let turns: Vec<Vec<bool>> = turns.collect();
    // The first frame may come when it is open already.
    let is_due = |doors: &Vec<bool>| matches!(doors.as_slice(), [false, true, false] | [true, false]);
    let shown: Vec<String> =
        turns.iter().map(|doors| doors.iter().map(|open| if *open { 'o' } else { 'c' }).collect()).collect();
    let shown = shown.join(" ");
    vec![Identity::new("the room opened and closed by itself, once", closed && turns.iter().all(is_due), shown)]
}

/// One number a member, in order of arrival.
fn of_places(lives: &[Life]) -> Vec<Identity> {
    let several = lives.iter().filter(|life| life.numbers.iter().any(|number| *number != life.numbers[0])).count();
    let all = || lives.iter().flat_map(|life| life.numbers.first().copied().into_iter().chain(life.earlier));
    let (numbers, places): (BTreeSet<u64>, usize) = (all().collect(), all().count());
    let last = numbers.last().copied().unwrap_or(0);
    let joins: Vec<Joined> = lives.iter().filter_map(|life| life.joined).collect();
    vec![
        Identity::exact("members who were told two numbers", 0, several),
        Identity::new(
            "numbers are one to each place, from 1",
            places > 0 && numbers.len() == places && last == places as u64,
            format!("{} numbers up to {last} of {places} places", numbers.len()),
        ),
        Identity::exact("numbers below one that was given before their join was sent", 0, overtaken(&joins)),
    ]
}

/// Never above the rate and the capacity; nobody who is away holds the others up.
fn of_turns(lives: &[Life], frames: &[Vec<RoomFrame>]) -> Vec<Identity> {
    let turns: Vec<_> = lives.iter().filter_map(|life| life.turn).collect();
    let granted: Vec<i64> = turns.iter().map(|turn| turn.granted_ms).collect();
    let spans: Vec<(i64, i64)> = turns.iter().map(|turn| (turn.granted_ms, turn.seen_ms)).collect();
    let inside = frames.iter().flatten().map(|frame| frame.inside).max().unwrap_or(0);
    let (second, at_once) = (most_within(&granted, 1_000), most_at_once(&spans));
    let mut ends: BTreeMap<End, usize> = BTreeMap::new();
    lives.iter().for_each(|life| *ends.entry(life.end).or_default() += 1);
    let of = |end| ends.get(&end).copied().unwrap_or(0);
    vec![
        Identity::new(
            format!("turns that began within any second <= {PER_SECOND}"),
            (1..=PER_SECOND).contains(&second),
            second,
        ),
        Identity::new(
            format!("turns at once <= {CAPACITY}"),
            at_once <= CAPACITY && inside <= CAPACITY as u64,
            format!("{at_once} by members, {inside} by the room"),
        ),
        Identity::new(
            "the line ends, however many are away",
            of(End::Waits) == 0 && of(End::Away) > 0,
            format!(
                "{} away, {} left, {} let their turn pass, {} gave it up, {} bought, {} came through a closed door, {} wait",
                of(End::Away),
                of(End::Left),
                of(End::Passed),
                of(End::GaveUp),
                of(End::Bought),
                of(End::Through),
                of(End::Waits)
            ),
        ),
    ]
}

/// Every admission that is worth nothing was refused, with its word.
fn of_worthless(tried: &BTreeMap<&'static str, (u64, u64)>) -> Vec<Identity> {
    let words = ["admission_forged", "admission_foreign", "admission_expired", "admission_used"];
    let one = |word| {
        let (tried, refused) = tried.get(word).copied().unwrap_or_default();
        let name = format!("refused as {word}: all that were tried");
        Identity::new(name, tried > 0 && tried == refused, format!("{refused} of {tried}"))
    };
    words.into_iter().map(one).collect()
}

/// Nobody who was not admitted has an order, and everybody who has one bought it.
fn of_orders(lives: &[Life], tally: &Tally, buyers: &[String], confirmed: u64, straight: usize) -> Vec<Identity> {
    let kept_out: BTreeSet<&str> =
        lives.iter().filter(|life| !life.was_admitted()).map(|life| life.member.as_str()).collect();
    let strangers = buyers.iter().filter(|buyer| kept_out.contains(buyer.as_str())).count();
    let bought = lives.iter().filter(|life| life.end == End::Bought).count();
    vec![
        Identity::exact("orders of members who were not admitted", 0, strangers),
        Identity::new(
            "accepted = confirmed",
            tally.accepted() == confirmed && bought > 0 && confirmed >= (bought + straight) as u64,
            format!("{} = {confirmed}, {bought} of them after a turn", tally.accepted()),
        ),
    ]
}

/// What waiters were told was near what came. A small crowd is through before its pace is measured.
fn of_estimate(error: EstimateError) -> Identity {
    let EstimateError { waiters, p90_s, p90, .. } = error;
    Identity::new(
        format!("nine of ten waits are told to {ERROR_P90_S} s or to {:.0} %", ERROR_P90 * 100.0),
        p90_s <= ERROR_P90_S || p90 <= ERROR_P90,
        format!("{p90_s} s, {:.0} %, of {waiters} waiters", p90 * 100.0),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(doors: &[bool]) -> Vec<RoomFrame> {
        doors.iter().map(|open| RoomFrame { open: *open, ..RoomFrame::default() }).collect()
    }

    #[test]
    fn a_door_that_does_not_turn_once_each_way_is_seen() {
        let holds = |doors: &[&[bool]], closed| {
            let frames: Vec<_> = doors.iter().map(|doors| frames(doors)).collect();
            of_door(&frames, closed)[0].holds
        };
        assert!(holds(&[&[false, false, true, true, false]], true));
        assert!(holds(&[&[true, false], &[false, true, false]], true));
        assert!(!holds(&[&[false, true, false]], false));
        assert!(!holds(&[&[false, true]], true));
        assert!(!holds(&[&[false]], true));
        assert!(!holds(&[&[false, true, false], &[false]], true));
        assert!(!holds(&[&[false, true, false, true, false]], true), "it flickers");
    }

    #[test]
    fn two_members_of_one_number_two_numbers_of_one_member_and_a_gap_are_seen() {
        let violated = |numbers: &[(&[u64], Option<u64>)]| {
            let life = |(numbers, earlier): &(&[u64], Option<u64>)| {
                let mut life = Life::new("m".to_owned());
                life.numbers = numbers.to_vec();
                life.earlier = *earlier;
                life
            };
            let lives: Vec<Life> = numbers.iter().map(life).collect();
            of_places(&lives).iter().filter(|identity| !identity.holds).count()
        };
        assert_eq!(violated(&[(&[1, 1], None), (&[2], None), (&[], None)]), 0);
        assert_eq!(violated(&[(&[3], Some(1)), (&[2], None)]), 0, "he began anew");
        assert_eq!(violated(&[(&[1], None), (&[1], None)]), 1);
        assert_eq!(violated(&[(&[1, 2], None)]), 1);
        assert_eq!(violated(&[(&[1], None), (&[3], None)]), 1);
        assert_eq!(violated(&[]), 1, "nobody had to wait");
    }

    #[test]
    fn an_admission_that_is_taken_though_worth_nothing_is_seen() {
        let mut tried: BTreeMap<&str, (u64, u64)> =
            ["admission_forged", "admission_foreign", "admission_expired", "admission_used"]
                .into_iter()
                .map(|word| (word, (3, 3)))
                .collect();
        assert!(of_worthless(&tried).iter().all(|identity| identity.holds));
        tried.insert("admission_used", (3, 2));
        assert_eq!(of_worthless(&tried).iter().filter(|identity| !identity.holds).count(), 1);
        tried.remove("admission_used");
        assert_eq!(of_worthless(&tried).iter().filter(|identity| !identity.holds).count(), 1, "none was tried");
    }

    #[test]
    fn a_wait_that_was_told_wrong_is_seen() {
        let holds = |p90_s, p90| {
            of_estimate(EstimateError { waiters: 9, p50_s: 0.0, p90_s, p50: 0.0, p90, within_most: 1.0 }).holds
        };
        assert!(holds(2.9, 0.9) && holds(9.0, 0.2));
        assert!(!holds(9.0, 0.9));
    }
}
