//! What a run has to say: one JSON object for programs, one table for people, one verdict.
//!
//! Owns the shape of the object; a golden test keeps it. Does not decide what must be true.

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::audit::Audit;
use crate::line::EstimateError;

/// One run of one scenario.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Report {
    pub(crate) scenario: String,
    pub(crate) wiring: Wiring,
    pub(crate) commit: String,
    pub(crate) seed: u64,
    pub(crate) requests: u64,
    pub(crate) accepted: u64,
    pub(crate) confirmed: u64,
    pub(crate) declined: u64,
    pub(crate) left: u64,
    pub(crate) unanswered: u64,
    pub(crate) refused: BTreeMap<String, u64>,
    pub(crate) http: BTreeMap<u16, u64>,
    pub(crate) winners_ms: Latency,
    pub(crate) losers_ms: Latency,
    pub(crate) elapsed_s: f64,
    pub(crate) settled_s: f64,
    pub(crate) confirmed_per_s: f64,
    pub(crate) answered_per_s: f64,
    pub(crate) hello_per_s: f64,
    /// Attempts beyond the first; shown to people only.
    #[serde(skip)]
    pub(crate) repeats: u64,
    /// How far the waits that people were told were from those that came; told where anybody waited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) estimate: Option<EstimateError>,
    pub(crate) audit: Audit,
    pub(crate) identities: Vec<Identity>,
}

/// What stands behind the three parts of the system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Wiring {
    /// memory, redis, redis+sentinel, redis+cluster.
    pub(crate) gate: String,
    pub(crate) ledger: String,
    pub(crate) events: String,
    /// For what orders and claims wait: ledger, log, volatile-log. Latency of winners counts until the ledger has decided.
    #[serde(default = "ledger", skip_serializing_if = "is_ledger")]
    pub(crate) intake: String,
    /// Processes over the same gate and ledger; told where there are several.
    #[serde(default = "one", skip_serializing_if = "alone")]
    pub(crate) servers: usize,
}

fn ledger() -> String {
    "ledger".to_owned()
}

fn is_ledger(intake: &str) -> bool {
    intake == "ledger"
}

fn one() -> usize {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn alone(servers: &usize) -> bool {
    *servers == 1
}

/// Latencies in milliseconds, to a tenth; zero where there was nothing to time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p95: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl Latency {
    /// Reads a histogram of microseconds.
    pub(crate) fn of(micros: &Histogram<u64>) -> Self {
        let ms = |micros: u64| (micros as f64 / 100.0).round() / 10.0;
        let at = |quantile| ms(micros.value_at_quantile(quantile));
        Self { p50: at(0.5), p95: at(0.95), p99: at(0.99), max: ms(micros.max()) }
    }
}

/// Something that must be true of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Identity {
    pub(crate) name: String,
    pub(crate) holds: bool,
    pub(crate) seen: String,
}

impl Identity {
    /// A statement, whether it holds, and what was seen.
    pub(crate) fn new(name: impl Into<String>, holds: bool, seen: impl Display) -> Self {
        Self { name: name.into(), holds, seen: seen.to_string() }
    }

    /// `what = wanted`, exactly.
    pub(crate) fn exact<T: PartialEq + Display>(what: &str, wanted: T, seen: T) -> Self {
        Self::new(format!("{what} = {wanted}"), seen == wanted, seen)
    }

    /// `what` within `centre +- width`, both ends included.
    pub(crate) fn band(what: &str, centre: u64, width: u64, seen: u64) -> Self {
        Self::new(format!("{what} within {centre} +- {width}"), seen.abs_diff(centre) <= width, seen)
    }
}

/// To a tenth: more digits would pretend.
pub(crate) fn tenth(figure: f64) -> f64 {
    if figure.is_finite() { (figure * 10.0).round() / 10.0 } else { 0.0 }
}

impl Report {
    /// Whether the audit is clean, every identity holds and every request was answered.
    pub(crate) fn passes(&self) -> bool {
        self.audit.is_clean() && self.unanswered == 0 && self.identities.iter().all(|i| i.holds)
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = |f: &mut fmt::Formatter<'_>, name: &str, value: String| writeln!(f, "  {name:<22} {value}");
        let Wiring { gate, ledger, events, intake, servers } = &self.wiring;
        let intake = if is_ledger(intake) { String::new() } else { format!(", intake {intake}") };
        let several = if *servers == 1 { String::new() } else { format!(", {servers} servers") };
        writeln!(
            f,
            "{}  gate {gate}, ledger {ledger}, events {events}{intake}{several}, commit {}, seed {}",
            self.scenario, self.commit, self.seed
        )?;
        row(f, "requests", self.requests.to_string())?;
        row(f, "accepted", self.accepted.to_string())?;
        row(f, "confirmed", self.confirmed.to_string())?;
        row(f, "declined", self.declined.to_string())?;
        row(f, "left", self.left.to_string())?;
        row(f, "unanswered", format!("{}, repeated {}", self.unanswered, self.repeats))?;
        row(f, "refused", listed(&self.refused))?;
        row(f, "answers by status", listed(&self.http))?;
        writeln!(f, "  {:<22} {:>9} {:>9} {:>9} {:>9}", "latency, ms", "p50", "p95", "p99", "max")?;
        for (name, l) in [("  winners", self.winners_ms), ("  losers", self.losers_ms)] {
            writeln!(f, "  {name:<22} {:>9.1} {:>9.1} {:>9.1} {:>9.1}", l.p50, l.p95, l.p99, l.max)?;
        }
        row(f, "answered after", format!("{:.3} s, settled after {:.3} s", self.elapsed_s, self.settled_s))?;
        row(f, "confirmed per second", format!("{:.1}", self.confirmed_per_s))?;
        let ratio = if self.hello_per_s > 0.0 { self.answered_per_s / self.hello_per_s } else { 0.0 };
        row(
            f,
            "answered per second",
            format!("{:.1}, {ratio:.2} of the {:.1} that do nothing", self.answered_per_s, self.hello_per_s),
        )?;
        if let Some(EstimateError { waiters, p50_s, p90_s, p50, p90, within_most }) = self.estimate {
            let [half, tenth, most] = [p50, p90, within_most].map(|part| format!("{:.0} %", part * 100.0));
            let errors = format!("p50 {p50_s} s, {half}; p90 {p90_s} s, {tenth}; {most} waited no longer than told");
            row(f, "error of waits", format!("{errors}; {waiters} waiters"))?;
        }
        let Audit { oversold, lost, leaked, duplicated } = self.audit;
        row(
            f,
            "audit",
            format!(
                "oversold {oversold}, lost {lost}, leaked {leaked}, duplicated {duplicated}{}",
                mark(self.audit.is_clean())
            ),
        )?;
        for identity in &self.identities {
            row(f, "identity", format!("{} (seen {}){}", identity.name, identity.seen, mark(identity.holds)))?;
        }
        write!(f, "  {}", if self.passes() { "holds" } else { "VIOLATED" })
    }
}

fn mark(holds: bool) -> &'static str {
    if holds { "" } else { "  <- VIOLATED" }
}

fn listed<K: Display>(counts: &BTreeMap<K, u64>) -> String {
    if counts.is_empty() {
        return "-".to_owned();
    }
    counts.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The object of the scenarios' page, made by hand.
    pub(crate) fn example() -> Report {
        Report {
            scenario: "event-500".into(),
            wiring: Wiring {
                gate: "memory".into(),
                ledger: "sqlite".into(),
                events: "process".into(),
                intake: ledger(),
                servers: 1,
            },
            commit: "abc".into(),
            seed: 1,
            requests: 50_000,
            accepted: 640,
            confirmed: 500,
            declined: 140,
            left: 0,
            unanswered: 0,
            refused: BTreeMap::from([("sold_out".into(), 49_360)]),
            http: BTreeMap::from([(202, 640), (409, 49_360)]),
            winners_ms: Latency { p50: 3.1, p95: 8.0, p99: 12.0, max: 30.2 },
            losers_ms: Latency { p50: 1.0, p95: 2.0, p99: 4.0, max: 9.9 },
            elapsed_s: 9.1,
            settled_s: 9.6,
            confirmed_per_s: 54.9,
            answered_per_s: 5494.5,
            hello_per_s: 64_000.0,
            repeats: 7,
            estimate: None,
            audit: Audit::default(),
            identities: vec![Identity::exact("confirmed", 500, 500)],
        }
    }

    #[test]
    fn the_object_has_the_published_shape() {
        let golden = concat!(
            r#"{"scenario":"event-500","wiring":{"gate":"memory","ledger":"sqlite","events":"process"},"commit":"abc","seed":1,"#,
            r#""requests":50000,"accepted":640,"confirmed":500,"declined":140,"left":0,"unanswered":0,"#,
            r#""refused":{"sold_out":49360},"http":{"202":640,"409":49360},"#,
            r#""winners_ms":{"p50":3.1,"p95":8.0,"p99":12.0,"max":30.2},"losers_ms":{"p50":1.0,"p95":2.0,"p99":4.0,"max":9.9},"#,
            r#""elapsed_s":9.1,"settled_s":9.6,"confirmed_per_s":54.9,"answered_per_s":5494.5,"hello_per_s":64000.0,"#,
            r#""audit":{"oversold":0,"lost":0,"leaked":0,"duplicated":0},"#,
            r#""identities":[{"name":"confirmed = 500","holds":true,"seen":"500"}]}"#,
        );
        assert_eq!(serde_json::to_string(&example()).unwrap(), golden);
        let mut two = example();
        two.wiring = Wiring { gate: "redis".into(), servers: 2, ..two.wiring };
        let told = serde_json::to_string(&two.wiring).unwrap();
        assert_eq!(told, r#"{"gate":"redis","ledger":"sqlite","events":"process","servers":2}"#);
        let error = EstimateError { waiters: 9, p50_s: 1.0, p90_s: 2.5, p50: 0.1, p90: 0.25, within_most: 0.75 };
        let told = serde_json::to_string(&Report { estimate: Some(error), ..example() }).unwrap();
        let part =
            r#""estimate":{"waiters":9,"p50_s":1.0,"p90_s":2.5,"p50":0.1,"p90":0.25,"within_most":0.75},"audit":{"#;
        assert!(told.contains(part), "{told}");
        assert!(two.to_string().starts_with("event-500  gate redis, ledger sqlite, events process, 2 servers,"));
    }

    #[test]
    fn a_band_includes_its_ends_and_nothing_beyond() {
        for (seen, holds) in [(79, false), (80, true), (125, true), (170, true), (171, false), (0, false)] {
            assert_eq!(Identity::band("declined", 125, 45, seen).holds, holds, "{seen}");
        }
    }

    #[test]
    fn any_violation_fails_the_run() {
        assert!(example().passes());
        assert!(!Report { unanswered: 1, ..example() }.passes());
        assert!(!Report { identities: vec![Identity::exact("sold", 10, 11)], ..example() }.passes());
        for audit in [
            Audit { oversold: 1, ..Audit::default() },
            Audit { lost: 1, ..Audit::default() },
            Audit { leaked: 1, ..Audit::default() },
            Audit { duplicated: 1, ..Audit::default() },
        ] {
            let bad = Report { audit, ..example() };
            assert!(!bad.passes());
            assert!(bad.to_string().ends_with("VIOLATED"));
        }
    }

    #[test]
    fn latencies_are_told_in_milliseconds() {
        let mut micros = Histogram::<u64>::new_with_bounds(1, 600_000_000, 3).unwrap();
        assert_eq!(Latency::of(&micros), Latency { p50: 0.0, p95: 0.0, p99: 0.0, max: 0.0 });
        for ms in 1..=100 {
            micros.record(ms * 1_000).unwrap();
        }
        assert_eq!(Latency::of(&micros), Latency { p50: 50.0, p95: 95.0, p99: 99.0, max: 100.0 });
    }
}
