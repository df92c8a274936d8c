//! Drives N requests, c at a time, and tallies what was answered.
//!
//! Owns the crowd of connections, the order in which members press, and the tally. Does not know what a scenario wants to be true.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Deserialize;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::client::{Asked, Call, Client, path};
use crate::decided;
use crate::kill::{Kill, Kills};

/// How many requests measure the route that does nothing, each time.
const HELLO_REQUESTS: usize = 20_000;
/// How many of them are under way at a time.
const HELLO_AT_A_TIME: usize = 100;
/// The bar moves once in so many answers.
const BAR_STEP: u64 = 64;

/// Counts answers while the load runs: for the progress bar, and for the moments at which something is to be killed.
#[derive(Debug)]
pub(crate) struct Watch {
    bar: ProgressBar,
    /// What is to be killed meanwhile.
    pub(crate) kills: Kills,
}

impl Watch {
    /// Watches a load of `requests`. The bar shows only where there is a terminal.
    pub(crate) fn over(name: &str, requests: u64, kills: &[Kill]) -> Arc<Self> {
        let bar = ProgressBar::with_draw_target(Some(requests), ProgressDrawTarget::stderr());
        let style = "{prefix:>12} [{bar:40}] {pos}/{len} {per_sec} {elapsed}";
        bar.set_style(ProgressStyle::with_template(style).expect("a template").progress_chars("=> "));
        bar.set_prefix(name.to_owned());
        Arc::new(Self { bar, kills: Kills::of(kills) })
    }

    /// Watches nothing.
    pub(crate) fn silent() -> Arc<Self> {
        Arc::new(Self { bar: ProgressBar::hidden(), kills: Kills::of(&[]) })
    }

    /// Counts an answer.
    pub(crate) fn count(&self) {
        let answered = self.kills.answered();
        if answered.is_multiple_of(BAR_STEP) {
            self.bar.set_position(answered);
        }
    }

    /// Begins to count time.
    pub(crate) fn begin(&self) {
        self.bar.reset();
    }

    /// Removes the bar.
    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
    }
}

/// A 2xx for something that was promised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Won {
    /// Which request it answered.
    pub(crate) n: usize,
    /// What the server named it: an order, a coupon. Empty if it named nothing.
    pub(crate) id: String,
    /// The number of its hold: the place in order of arrival.
    pub(crate) no: Option<u64>,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Requests sent; repeats are not counted.
    pub(crate) requests: u64,
    /// Attempts beyond the first.
    pub(crate) repeats: u64,
    /// Final answers by status.
    pub(crate) http: BTreeMap<u16, u64>,
    /// Refusals by code.
    pub(crate) refused: BTreeMap<String, u64>,
    /// Latency of promises, in microseconds.
    pub(crate) winners: Histogram<u64>,
    /// Latency of refusals, in microseconds.
    pub(crate) losers: Histogram<u64>,
    /// Every promise.
    pub(crate) won: Vec<Won>,
    /// Requests refused for exhaustion, by number; kept where a scenario lets them come back.
    pub(crate) lost: Vec<usize>,
    /// Requests that never got an answer.
    pub(crate) unanswered: Vec<usize>,
    /// The smallest `after` of a refusal for want of units.
    pub(crate) after_least: Option<u64>,
    /// What refusals named as standing in the way: the coupon that the member has.
    pub(crate) named: BTreeMap<String, u64>,
    /// Refusals that told when to come again.
    pub(crate) with_retry_after: u64,
    /// From the first request to the last answer.
    pub(crate) span: Option<(Instant, Instant)>,
}

/// The fields of an answer that a tally wants; a problem and an order share the names.
#[derive(Deserialize, Default)]
struct Said {
    id: Option<String>,
    no: Option<u64>,
    code: Option<String>,
    after: Option<u64>,
    coupon: Option<Value>,
}

impl Default for Tally {
    fn default() -> Self {
        // One microsecond to ten minutes, two significant digits: enough to tell 3.1 from 3.2 ms.
        let histogram = || Histogram::new_with_bounds(1, 600_000_000, 3).expect("constant bounds");
        Self {
            requests: 0,
            repeats: 0,
            http: BTreeMap::new(),
            refused: BTreeMap::new(),
            winners: histogram(),
            losers: histogram(),
            won: Vec::new(),
            lost: Vec::new(),
            unanswered: Vec::new(),
            after_least: None,
            named: BTreeMap::new(),
            with_retry_after: 0,
            span: None,
        }
    }
}

impl Tally {
    /// Adds an answer.
    pub(crate) fn take(&mut self, n: usize, asked: Asked, body: &[u8]) {
        self.requests += 1;
        self.repeats += u64::from(asked.repeats);
        let Some(answer) = asked.answer else {
            self.unanswered.push(n);
            return;
        };
        *self.http.entry(answer.status).or_default() += 1;
        let micros = u64::try_from(asked.took.as_micros()).unwrap_or(u64::MAX).max(1);
        match answer.status {
            201 | 202 => {
                self.winners.saturating_record(micros);
                let said: Said = serde_json::from_slice(body).unwrap_or_default();
                self.won.push(Won { n, id: said.id.unwrap_or_default(), no: said.no });
            }
            // A look at the sale, by somebody who leaves: neither won nor lost.
            200 => {}
            _ => {
                self.losers.saturating_record(micros);
                let said: Said = serde_json::from_slice(body).unwrap_or_default();
                if let Some(after) = said.after {
                    self.after_least = Some(self.after_least.map_or(after, |least| least.min(after)));
                }
                if let Some(name) = said.coupon.as_ref().and_then(named) {
                    *self.named.entry(name.to_owned()).or_default() += 1;
                }
                self.with_retry_after += u64::from(answer.retry_after_s.is_some());
                if answer.status == 429 {
                    self.lost.push(n);
                }
                let code = said.code.unwrap_or_else(|| format!("http_{}", answer.status));
                *self.refused.entry(code).or_default() += 1;
            }
        }
    }

    /// Adds another tally: of another worker, or of a later wave.
    pub(crate) fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.repeats += other.repeats;
        for (status, count) in other.http {
            *self.http.entry(status).or_default() += count;
        }
        for (code, count) in other.refused {
            *self.refused.entry(code).or_default() += count;
        }
        for (name, count) in other.named {
            *self.named.entry(name).or_default() += count;
        }
        self.winners.add(&other.winners).expect("the same bounds");
        self.losers.add(&other.losers).expect("the same bounds");
        self.won.extend(other.won);
        self.lost.extend(other.lost);
        self.unanswered.extend(other.unanswered);
        self.with_retry_after += other.with_retry_after;
        self.after_least = [self.after_least, other.after_least].into_iter().flatten().min();
        self.span = match (self.span, other.span) {
            (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
            (a, b) => a.or(b),
        };
    }

    /// From the first request to the last answer.
    pub(crate) fn elapsed(&self) -> Duration {
        self.span.map_or(Duration::ZERO, |(began, ended)| ended - began)
    }

    /// How many were refused with this code.
    pub(crate) fn refused_as(&self, code: &str) -> u64 {
        self.refused.get(code).copied().unwrap_or(0)
    }

    /// How many were refused for want of units: none left, or all of them held at that moment.
    pub(crate) fn sold_out(&self) -> u64 {
        self.refused_as("sold_out") + self.refused_as("all_held")
    }

    /// How many were promised something.
    pub(crate) fn accepted(&self) -> u64 {
        self.won.len() as u64
    }
}

/// The name inside what a refusal names: plain, or as an object with an `id`.
fn named(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value.get("id")?.as_str())
}

/// Connections that press together.
#[derive(Debug)]
pub(crate) struct Crowd {
    clients: Vec<Client>,
    watch: Arc<Watch>,
}

impl Crowd {
    /// `at_a_time` connections, opened before the load starts, in turn to each of these servers.
    pub(crate) async fn gather(to: &[SocketAddr], at_a_time: usize, watch: Arc<Watch>) -> Self {
        let mut clients: Vec<Client> = to.iter().cycle().take(at_a_time).map(|to| Client::new(*to)).collect();
        for client in &mut clients {
            // A connection that cannot be made now is made, or counted as broken, by its first call.
            let _ = client.connect().await;
        }
        Self { clients, watch }
    }

    /// Sends the calls of these numbers, in this order, as many at a time as there are connections.
    pub(crate) async fn send<F>(&mut self, numbers: Range<usize>, make: F) -> Tally
    where
        F: Fn(usize) -> Call + Send + Sync + 'static,
    {
        let make = Arc::new(make);
        let next = Arc::new(AtomicUsize::new(numbers.start));
        let mut workers = JoinSet::new();
        let idle = self.clients.split_off(numbers.len().min(self.clients.len()));
        for mut client in self.clients.drain(..) {
            let (make, next, watch) = (make.clone(), next.clone(), self.watch.clone());
            let end = numbers.end;
            workers.spawn(async move {
                let mut tally = Tally::default();
                let began = Instant::now();
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= end {
                        break;
                    }
                    let asked = decided::ask(&mut client, &make(n)).await;
                    tally.take(n, asked, client.body());
                    watch.count();
                }
                tally.span = (tally.requests > 0).then(|| (began, Instant::now()));
                (client, tally)
            });
        }
        let mut total = Tally::default();
        while let Some(done) = workers.join_next().await {
            let (client, tally) = done.expect("a worker does not panic");
            self.clients.push(client);
            total.add(tally);
        }
        self.clients.extend(idle);
        total
    }
}

/// Requests per second of the route that does nothing, by the same client.
pub(crate) async fn hello_per_s(to: SocketAddr) -> f64 {
    let mut crowd = Crowd::gather(&[to], HELLO_AT_A_TIME, Watch::silent()).await;
    let hello = Call::get(path("/hello"));
    let tally = crowd.send(0..HELLO_REQUESTS, move |_| hello.clone()).await;
    tally.http.get(&200).copied().unwrap_or(0) as f64 / tally.elapsed().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake;

    #[tokio::test]
    async fn every_request_is_tallied_once_with_its_answer() {
        let server = fake::serve(|_, request| {
            let n: u64 = request.headers()["idempotency-key"].to_str().unwrap().parse().unwrap();
            match n {
                0..10 => (202, format!(r#"{{"id":"m~{n}","status":"accepted","no":{},"coupon":null}}"#, n + 1)),
                10..20 => (429, r#"{"code":"exhausted","status":429}"#.into()),
                20..30 => (409, r#"{"code":"already_claimed","coupon":{"id":"c~w~m"}}"#.into()),
                n => (409, format!(r#"{{"code":"sold_out","after":{n},"status":409}}"#)),
            }
        })
        .await;
        let mut crowd = Crowd::gather(&[server], 7, Watch::silent()).await;
        let make = |n: usize| Call::post(path("/v1/orders"), "{}".into()).by("m").keyed(&n.to_string());
        let mut tally = crowd.send(0..3, make).await;
        tally.add(crowd.send(3..100, make).await);
        assert_eq!(tally.requests, 100);
        assert_eq!(tally.http, BTreeMap::from([(202, 10), (409, 80), (429, 10)]));
        assert_eq!((tally.accepted(), tally.winners.len(), tally.losers.len()), (10, 10, 90));
        assert_eq!((tally.sold_out(), tally.refused_as("exhausted"), tally.after_least), (70, 10, Some(30)));
        assert_eq!(tally.named, BTreeMap::from([("c~w~m".to_owned(), 10)]));
        let mut ids: Vec<_> = tally.won.iter().map(|w| (w.no.unwrap(), w.n, w.id.clone())).collect();
        ids.sort();
        assert_eq!(ids[9], (10, 9, "m~9".to_owned()));
        assert_eq!(crowd.clients.len(), 7, "connections that had nothing to do are kept");
    }

    #[tokio::test]
    async fn every_answer_brings_a_kill_nearer() {
        let server = fake::serve(|_, _| (200, "{}".into())).await;
        let watch = Watch::over("test", 10, &["redis@5".parse().unwrap()]);
        let mut crowd = Crowd::gather(&[server], 2, watch.clone()).await;
        crowd.send(0..4, |_| Call::get(path("/"))).await;
        assert!(!watch.kills.are_under_way());
        crowd.send(4..5, |_| Call::get(path("/"))).await;
        assert!(watch.kills.are_under_way());
    }

    #[tokio::test]
    async fn connections_are_spread_over_all_servers() {
        let one = fake::serve(|_, _| (202, r#"{"id":"one"}"#.into())).await;
        let two = fake::serve(|_, _| (202, r#"{"id":"two"}"#.into())).await;
        let mut crowd = Crowd::gather(&[one, two], 4, Watch::silent()).await;
        let on = |server| crowd.clients.iter().filter(|client| client.to() == server).count();
        assert_eq!((on(one), on(two)), (2, 2));
        let tally = crowd.send(0..100, |_| Call::get(path("/"))).await;
        assert_eq!(tally.accepted(), 100);
    }
}
