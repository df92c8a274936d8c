//! Measures: counters and histograms, resolved once, and the page that shows them.
//!
//! Owns the names of metrics. The hot path touches atomics only; gauges are set when somebody looks.

use std::fmt;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use metrics::{Counter, Histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use crate::app::App;
use crate::board::Pulse;
use crate::problem::{CODES, CodeNo};

/// Upper bounds of the buckets of placing, in seconds.
const BUCKETS: [f64; 12] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0];

/// How an order, or a claim, was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answered {
    /// It was decided now.
    First,
    /// It was decided before.
    Replayed,
    /// It was recorded, to be decided later.
    Recorded,
    /// It was refused.
    Refused(CodeNo),
}

/// One kind of write and how it was answered.
struct Writes {
    first: Counter,
    replayed: Counter,
    recorded: Counter,
    refused: Vec<Counter>,
}

impl Writes {
    fn count(&self, answered: Answered) {
        match answered {
            Answered::First => self.first.increment(1),
            Answered::Replayed => self.replayed.increment(1),
            Answered::Recorded => self.recorded.increment(1),
            Answered::Refused(no) => {
                if let Some(counter) = self.refused.get(no.0) {
                    counter.increment(1);
                }
            }
        }
    }
}

/// All meters.
pub(crate) struct Meters {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    started: Instant,
    /// By status, from 100 to 599.
    answers: Vec<Counter>,
    orders: Writes,
    claims: Writes,
    accepting: Histogram,
    recording: Histogram,
    refusing: Histogram,
}

impl fmt::Debug for Meters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meters").finish_non_exhaustive()
    }
}

impl Meters {
    pub(crate) fn new() -> Self {
        let builder = PrometheusBuilder::new();
        let bucketed = builder.set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &BUCKETS);
        // The list of bounds is a constant that is not empty: this cannot fail.
        let recorder = bucketed.unwrap_or_else(|_| PrometheusBuilder::new()).build_recorder();
        let handle = recorder.handle();
        let resolved = metrics::with_local_recorder(&recorder, || {
            metrics::describe_counter!("http_answers_total", "Answers by status");
            metrics::describe_counter!("orders_placed_total", "Answers to POST /v1/orders");
            metrics::describe_counter!("coupons_claimed_total", "Answers to claims of coupons");
            metrics::describe_histogram!("order_placing_seconds", "From the whole request to its answer");
            metrics::describe_gauge!("gate_up", "Whether the gate answers: 1 or 0");
            metrics::describe_gauge!(
                "payment_line",
                "Orders of a sale that are to be paid and not answered by the gateway"
            );
            metrics::describe_gauge!("sale_units", "Units of an item: left, held, sold");
            let writes = |name: &'static str| Writes {
                first: metrics::counter!(name, "answer" => "accepted"),
                replayed: metrics::counter!(name, "answer" => "replayed"),
                recorded: metrics::counter!(name, "answer" => "recorded"),
                refused: CODES.iter().map(|row| metrics::counter!(name, "answer" => row.0)).collect(),
            };
            let answers = (100..600_u16).map(|status| Some(status).filter(|s| used(*s))).map(|status| match status {
                Some(status) => metrics::counter!("http_answers_total", "status" => status.to_string()),
                None => Counter::noop(),
            });
            (
                answers.collect(),
                writes("orders_placed_total"),
                writes("coupons_claimed_total"),
                metrics::histogram!("order_placing_seconds", "answer" => "accepted"),
                metrics::histogram!("order_placing_seconds", "answer" => "recorded"),
                metrics::histogram!("order_placing_seconds", "answer" => "refused"),
            )
        });
        let (answers, orders, claims, accepting, recording, refusing) = resolved;
        Self { recorder, handle, started: Instant::now(), answers, orders, claims, accepting, recording, refusing }
    }

    pub(crate) fn answered(&self, status: StatusCode) {
        if let Some(counter) = self.answers.get(usize::from(status.as_u16()).wrapping_sub(100)) {
            counter.increment(1);
        }
    }

    pub(crate) fn placed(&self, answered: Answered, took: Duration) {
        self.orders.count(answered);
        match answered {
            Answered::Refused(_) => self.refusing.record(took),
            Answered::Recorded => self.recording.record(took),
            Answered::First | Answered::Replayed => self.accepting.record(took),
        }
    }

    pub(crate) fn claimed(&self, answered: Answered) {
        self.claims.count(answered);
    }

    /// Moves what was recorded into the histograms, so that it does not pile up between looks.
    pub(crate) fn upkeep(&self) {
        self.handle.run_upkeep();
    }

    /// The page for Prometheus.
    pub(crate) fn page(&self, app: &App) -> String {
        metrics::with_local_recorder(&self.recorder, || {
            metrics::gauge!("process_uptime_seconds").set(self.started.elapsed().as_secs_f64());
            let answers = matches!(app.board().pulse(), Pulse::Answers);
            metrics::gauge!("gate_up", "gate" => app.wired().kept.word()).set(f64::from(u8::from(answers)));
            for face in app.board().all() {
                for item in &face.items {
                    let units = [("left", item.left), ("held", item.held), ("sold", item.sold)];
                    for (state, count) in units {
                        let labels = [
                            ("sale", face.id.to_string()),
                            ("item", item.item.to_string()),
                            ("state", state.to_owned()),
                        ];
                        metrics::gauge!("sale_units", &labels).set(f64::from(count));
                    }
                }
            }
            for (sale, length) in app.board().pay_lines() {
                metrics::gauge!("payment_line", "sale" => sale.to_string()).set(length as f64);
            }
            metrics::gauge!("sale_streams").set(app.board().streams() as f64);
            let now = app.now();
            for (pass, report) in app.flash().reports() {
                let age = now.since(report.last_run).as_secs_f64();
                metrics::counter!("pass_runs_total", "pass" => pass.clone()).absolute(report.runs);
                metrics::counter!("pass_moved_total", "pass" => pass.clone()).absolute(report.moved);
                metrics::counter!("pass_failures_total", "pass" => pass.clone()).absolute(report.failures);
                metrics::gauge!("pass_age_seconds", "pass" => pass).set(age);
            }
        });
        self.handle.render()
    }
}

/// Statuses that this server answers.
fn used(status: u16) -> bool {
    [200, 201, 202, 204, 303, 304].contains(&status) || CODES.iter().any(|row| row.1 == status)
}
