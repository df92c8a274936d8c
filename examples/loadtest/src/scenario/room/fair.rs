//! `fair-room`: a known order of arrival, a line that is always there, and fewer units than people: who wins stood before who loses.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{Admission, Before, Place};
use crate::Failure;
use crate::audit::Received;
use crate::client::Client;
use crate::ledger::Scope;
use crate::line::{Joined, overtaken};
use crate::pool::{Pool, Reply};
use crate::report::Identity;
use crate::run::Tally;
use crate::scenario::{Played, Stage};

/// Half of them join one after the other, the others in waves.
pub(in crate::scenario) const MEMBERS: usize = 400;
const WAVE: usize = 20;
const UNITS: usize = 100;
const AT_A_TIME: usize = 20;
/// How long one may take to get his turn when all before him had theirs.
const TURN_WITHIN: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// One who joined, and what came of it.
#[derive(Debug)]
struct Member {
    name: String,
    joined: Joined,
    /// When his turn began, in the server's time.
    granted_ms: Option<i64>,
    won: bool,
}

/// Plays it.
pub(in crate::scenario) async fn play(stage: &Stage) -> Result<Played, Failure> {
    const TURN_S: i64 = 20;
    let room = json!({
        "open_above": 0, "close_below": 0, "admit_per_minute": 60_000, "capacity": 50, "turn_s": TURN_S,
        "absent_after_s": 600,
    });
    let before = Arc::new(Before::open(stage, "fair-room", UNITS, room).await?);
    let pool = Pool::gather(&stage.servers, AT_A_TIME, stage.watch.clone()).await;
    let began = Instant::now();
    let mut members = join(stage, &before, &pool).await?;
    members.sort_by_key(|member| member.joined.number);
    let mut tally = Tally::default();
    for (n, member) in members.iter_mut().enumerate() {
        let admission = turn(&before, &pool, &member.name).await?;
        member.granted_ms = Some(admission.until.0 - TURN_S * 1_000);
        let order = before.order(&member.name, "order-once").admitted_by(&admission.token);
        let reply = pool.ask(&order).await;
        tally.take(n, reply.asked, &reply.body);
        member.won = reply.status() == 202;
        if !member.won {
            pool.ask(&before.leave(&member.name)).await;
        }
    }
    tally.span = Some((began, Instant::now()));
    let mut client = Client::new(stage.first());
    let scope = Scope { sales: vec![before.sale.clone()], ..Scope::default() };
    let settled = stage.settle(&mut client, began, &scope.sales).await?;
    let ended = stage.ledger.ended(&before.sale).await?;
    let received = Received { orders: tally.won.iter().map(|won| won.id.clone()).collect(), ..Received::default() };
    let identities = identities(&members, &tally, ended.confirmed);
    Ok(Played { tally, ended, left: 0, scope, received, settled, identities, estimate: None })
}

/// All join: the first half one by one, the others in waves, each of which comes when the one before is answered.
async fn join(stage: &Stage, before: &Arc<Before>, pool: &Arc<Pool>) -> Result<Vec<Member>, Failure> {
    let mut members = Vec::new();
    let mut next = 0;
    while next < MEMBERS {
        let wave = if next < MEMBERS / 2 { 1 } else { WAVE };
        let joins = (next..next + wave).map(|n| {
            let (name, before, pool) = (format!("m{n}{}", stage.suffix), before.clone(), pool.clone());
            tokio::spawn(async move { (pool.ask(&before.join(&name)).await, name) })
        });
        for join in joins.collect::<Vec<_>>() {
            let (reply, name) = join.await.map_err(std::io::Error::other)?;
            members.push(member(name, &reply)?);
        }
        next += wave;
    }
    Ok(members)
}

fn member(name: String, reply: &Reply) -> Result<Member, Failure> {
    let number = match reply.status() {
        200 | 201 => reply.json::<Place>()?.number,
        _ => None,
    };
    let number = number.ok_or_else(|| Failure::Server(format!("a join was answered {}", reply.shown())))?;
    let joined = Joined { sent: reply.sent, answered: reply.answered, number };
    Ok(Member { name, joined, granted_ms: None, won: false })
}

/// The admission of one whose turn is next, or has come.
async fn turn(before: &Before, pool: &Pool, member: &str) -> Result<Admission, Failure> {
    let began = Instant::now();
    loop {
        let reply = pool.ask(&before.admission(member)).await;
        match reply.status() {
            200 => return reply.json(),
            202 if began.elapsed() < TURN_WITHIN => tokio::time::sleep(LOOK_EVERY).await,
            _ => return Err(Failure::Server(format!("{member} has no turn: {}", reply.shown()))),
        }
    }
}

fn identities(members: &[Member], tally: &Tally, confirmed: u64) -> Vec<Identity> {
    let joins: Vec<Joined> = members.iter().map(|member| member.joined).collect();
    let numbers_of = |won| members.iter().filter(move |member| member.won == won).map(|member| member.joined.number);
    let (last, first) = (numbers_of(true).max(), numbers_of(false).min());
    let shown = |number: Option<u64>| number.map_or_else(|| "none".to_owned(), |number| number.to_string());
    let granted: Vec<i64> = members.iter().filter_map(|member| member.granted_ms).collect();
    let early = granted.windows(2).filter(|pair| pair[1] < pair[0]).count();
    vec![
        Identity::exact("numbers below one that was given before their join was sent", 0, overtaken(&joins)),
        Identity::exact("turns that began before one of a smaller number", 0, early),
        Identity::exact("turns", members.len(), granted.len()),
        Identity::exact("accepted", UNITS as u64, tally.accepted()),
        Identity::exact("confirmed", UNITS as u64, confirmed),
        Identity::new(
            "every winner's number is before every loser's",
            matches!((last, first), (Some(last), Some(first)) if last < first),
            format!("last winner {}, first loser {}", shown(last), shown(first)),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(won: &[bool]) -> Vec<Member> {
        let now = Instant::now();
        let member = |(n, won): (usize, &bool)| {
            let at = |ms: usize| now + Duration::from_millis(ms as u64);
            let joined = Joined { sent: at(2 * n), answered: at(2 * n + 1), number: n as u64 + 1 };
            Member { name: format!("m{n}"), joined, granted_ms: Some(n as i64), won: *won }
        };
        won.iter().enumerate().map(member).collect()
    }

    fn violated(members: &[Member]) -> Vec<String> {
        let names = identities(members, &Tally::default(), 0).into_iter().filter(|identity| !identity.holds);
        names.map(|identity| identity.name).filter(|name| !name.ends_with("= 100")).collect()
    }

    #[test]
    fn a_winner_behind_a_loser_and_a_turn_before_its_time_are_seen() {
        assert!(violated(&members(&[true, true, false, false])).is_empty());
        assert_eq!(violated(&members(&[true, false, true, false])), ["every winner's number is before every loser's"]);
        assert_eq!(violated(&members(&[true, true])).len(), 1, "nobody lost");
        let mut early = members(&[true, true, false]);
        early[2].granted_ms = Some(0);
        assert_eq!(violated(&early), ["turns that began before one of a smaller number = 0"]);
    }
}
