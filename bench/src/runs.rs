//! From runs to a ratio: the baseline is measured before and after each run, the figure is the median of the pairs.
//!
//! Owns the arithmetic and what is printed. Does not own what is measured.

use serde::Serialize;

use crate::Failure;
use crate::machine::{self, Machine};

/// Speeds of one mark, each in things per second.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Figures {
    /// What is counted, such as `requests`.
    pub(crate) of: &'static str,
    /// One per run.
    pub(crate) ours: Vec<f64>,
    /// The baseline right before each run.
    pub(crate) before: Vec<f64>,
    /// The baseline right after each run.
    pub(crate) after: Vec<f64>,
}

impl Figures {
    /// Measures `count` runs, with the baseline before the first, between any two and after the last.
    pub(crate) fn measure(
        of: &'static str,
        count: usize,
        mut baseline: impl FnMut() -> Result<f64, Failure>,
        mut ours: impl FnMut() -> Result<f64, Failure>,
    ) -> Result<Self, Failure> {
        let mut figures = Self { of, ours: Vec::new(), before: Vec::new(), after: Vec::new() };
        let mut before = baseline()?;
        for _ in 0..count {
            let speed = ours()?;
            let after = baseline()?;
            figures.push(speed, before, after);
            before = after;
        }
        Ok(figures)
    }

    /// Adds a run.
    pub(crate) fn push(&mut self, ours: f64, before: f64, after: f64) {
        self.ours.push(ours);
        self.before.push(before);
        self.after.push(after);
    }

    /// Ours to the mean of the baselines around it, for each run.
    fn ratios(&self) -> Vec<f64> {
        let around = self.before.iter().zip(&self.after).map(|(before, after)| f64::midpoint(*before, *after));
        self.ours.iter().zip(around).map(|(ours, baseline)| ours / baseline).collect()
    }
}

/// The middle of some figures; the mean of the two middle ones where their number is even.
fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

/// All marks of one call, with where they were measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    commit: String,
    machine: Machine,
    marks: Vec<Entry>,
}

#[derive(Debug, Serialize)]
struct Entry {
    name: &'static str,
    says: &'static str,
    goal: f64,
    ratio: f64,
    reached: bool,
    ours_per_s: f64,
    baseline_before_per_s: f64,
    baseline_after_per_s: f64,
    ratios: Vec<f64>,
    runs: Figures,
}

impl Report {
    /// A report without marks, of this commit on this machine.
    pub(crate) fn begin() -> Self {
        Self { commit: machine::commit(), machine: Machine::this(), marks: Vec::new() }
    }

    /// Adds a mark and prints its lines.
    pub(crate) fn add(&mut self, name: &'static str, goal: f64, says: &'static str, runs: Figures) {
        let ratios = runs.ratios();
        let entry = Entry {
            name,
            says,
            goal,
            ratio: median(&ratios),
            reached: median(&ratios) >= goal,
            ours_per_s: median(&runs.ours),
            baseline_before_per_s: median(&runs.before),
            baseline_after_per_s: median(&runs.after),
            ratios,
            runs,
        };
        println!("{}", entry.lines(&self.commit));
        self.marks.push(entry);
    }

    /// The whole report as one JSON object.
    ///
    /// # Errors
    /// None that a report can have.
    pub(crate) fn json(&self) -> Result<String, Failure> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }
}

impl Entry {
    fn lines(&self, commit: &str) -> String {
        let least = self.ratios.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self.ratios.iter().copied().fold(0.0, f64::max);
        format!(
            "mark {} ratio {:.3} goal {}\n  {} a second: ours {:.0}, baseline {:.0} before and {:.0} after; median of {} runs, \
             ratios {least:.3} to {most:.3}; commit {commit}",
            self.name,
            self.ratio,
            self.goal,
            self.runs.of,
            self.ours_per_s,
            self.baseline_before_per_s,
            self.baseline_after_per_s,
            self.ratios.len(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_run_is_compared_with_the_baselines_around_it() {
        let mut baseline = [10.0, 20.0, 30.0].into_iter();
        let mut ours = [30.0, 100.0].into_iter();
        let figures =
            Figures::measure("requests", 2, || Ok(baseline.next().unwrap()), || Ok(ours.next().unwrap())).unwrap();
        assert_eq!(figures.before, [10.0, 20.0]);
        assert_eq!(figures.after, [20.0, 30.0]);
        assert_eq!(figures.ratios(), [2.0, 4.0]);
        assert_eq!(median(&figures.ratios()), 3.0);
    }

    #[test]
    fn one_slow_run_does_not_move_the_median() {
        assert_eq!(median(&[3.0, 0.1, 2.0, 2.5, 9.0]), 2.5);
    }

    #[test]
    fn the_first_line_has_the_form_that_others_read() {
        let mut report = Report { commit: "abc".into(), machine: Machine::this(), marks: vec![] };
        let runs = Figures { of: "requests", ours: vec![31.0], before: vec![10.0], after: vec![10.0] };
        report.add("gate-memory", 3.0, "x", runs);
        let lines = report.marks[0].lines("abc");
        assert!(lines.starts_with("mark gate-memory ratio 3.100 goal 3\n"), "{lines}");
        let json: serde_json::Value = serde_json::from_str(&report.json().unwrap()).unwrap();
        assert_eq!(json["marks"][0]["reached"], true);
        assert_eq!(json["commit"], "abc");
    }
}
