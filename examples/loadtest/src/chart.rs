//! Several runs side by side: latencies of winners and losers, and throughput, as one SVG.
//!
//! Owns the drawing. Reads only what a report's JSON says, so that reports of other machines can be compared.

use std::path::{Path, PathBuf};

use plotters::coord::ranged1d::SegmentValue;
use plotters::prelude::*;
use serde::Deserialize;

use crate::Failure;

const SIZE: (u32, u32) = (1200, 900);
const P50: RGBColor = RGBColor(0x4c, 0x78, 0xa8);
const P95: RGBColor = RGBColor(0xf5, 0x85, 0x18);
const P99: RGBColor = RGBColor(0xe4, 0x57, 0x56);
const ANSWERED: RGBColor = RGBColor(0x54, 0xa2, 0x4b);
const CONFIRMED: RGBColor = RGBColor(0xb2, 0x79, 0xa2);

/// What a chart needs of a report.
#[derive(Debug, Deserialize)]
struct Run {
    scenario: String,
    commit: String,
    winners_ms: Quantiles,
    losers_ms: Quantiles,
    confirmed_per_s: f64,
    answered_per_s: f64,
}

#[derive(Debug, Deserialize)]
struct Quantiles {
    p50: f64,
    p95: f64,
    p99: f64,
}

/// One group of bars for each run.
struct Panel<'a> {
    title: &'a str,
    series: Vec<(&'a str, RGBColor, Vec<f64>)>,
}

/// Draws the reports in these files into `out`.
///
/// # Errors
/// [`Failure::Io`] if a file cannot be read or written, [`Failure::Chart`] if one is no report.
pub(crate) fn draw(reports: &[PathBuf], out: &Path) -> Result<(), Failure> {
    let mut runs = Vec::new();
    for file in reports {
        let text = std::fs::read_to_string(file)?;
        let run: Run =
            serde_json::from_str(&text).map_err(|e| Failure::Chart(format!("{} is no report: {e}", file.display())))?;
        runs.push(run);
    }
    std::fs::write(out, svg(&runs).map_err(|e| Failure::Chart(e.to_string()))?)?;
    Ok(())
}

fn svg(runs: &[Run]) -> Result<String, Box<dyn std::error::Error>> {
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let labels: Vec<String> = runs.iter().map(|run| format!("{} {}", run.scenario, run.commit)).collect();
        let of = |pick: fn(&Run) -> f64| runs.iter().map(pick).collect::<Vec<f64>>();
        let panels = [
            Panel {
                title: "winners, ms",
                series: vec![
                    ("p50", P50, of(|r| r.winners_ms.p50)),
                    ("p95", P95, of(|r| r.winners_ms.p95)),
                    ("p99", P99, of(|r| r.winners_ms.p99)),
                ],
            },
            Panel {
                title: "losers, ms",
                series: vec![
                    ("p50", P50, of(|r| r.losers_ms.p50)),
                    ("p95", P95, of(|r| r.losers_ms.p95)),
                    ("p99", P99, of(|r| r.losers_ms.p99)),
                ],
            },
            Panel {
                title: "per second",
                series: vec![
                    ("answered", ANSWERED, of(|r| r.answered_per_s)),
                    ("confirmed", CONFIRMED, of(|r| r.confirmed_per_s)),
                ],
            },
        ];
        for (area, panel) in root.split_evenly((3, 1)).iter().zip(&panels) {
            bars(area, panel, &labels)?;
        }
        root.present()?;
    }
    Ok(text)
}

fn bars(
    area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    panel: &Panel<'_>,
    labels: &[String],
) -> Result<(), Box<dyn std::error::Error>> {
    let top = panel.series.iter().flat_map(|s| &s.2).copied().fold(0.0, f64::max).max(0.1) * 1.15;
    // A segmented axis includes its end: one empty group at the right, where the legend stands.
    let groups = u32::try_from(labels.len())?;
    let mut chart = ChartBuilder::on(area)
        .caption(panel.title, ("sans-serif", 20))
        .margin(10)
        .x_label_area_size(30)
        .y_label_area_size(70)
        .build_cartesian_2d((0..groups).into_segmented(), 0.0..top)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .y_max_light_lines(1)
        .x_labels(labels.len())
        .x_label_formatter(&|at| match at {
            SegmentValue::CenterOf(n) => labels.get(*n as usize).cloned().unwrap_or_default(),
            _ => String::new(),
        })
        .draw()?;
    // Bars of one group stand beside each other: in pixels, because a segmented axis has no fractions.
    let width = chart.plotting_area().dim_in_pixel().0 as i32 / (i32::try_from(labels.len())? + 1);
    let count = i32::try_from(panel.series.len())?;
    let bar = (width * 8 / 10 / count).clamp(1, 60);
    for (k, (name, colour, values)) in panel.series.iter().enumerate() {
        let from = (i32::try_from(k)? * 2 - count) * bar / 2;
        let shapes = values.iter().enumerate().map(|(n, value)| {
            let at = SegmentValue::CenterOf(n as u32);
            let pixels = chart.backend_coord(&(at.clone(), *value)).1 - chart.backend_coord(&(at.clone(), 0.0)).1;
            let shape = Rectangle::new([(from, 0), (from + bar - 1, -pixels)], colour.filled());
            let figure = Text::new(format!("{value:.1}"), (from, -15), ("sans-serif", 11));
            EmptyElement::at((at, *value)) + shape + figure
        });
        let shapes: Vec<_> = shapes.collect();
        let colour = *colour;
        chart
            .draw_series(shapes)?
            .label(*name)
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 10, y + 5)], colour.filled()));
    }
    chart.configure_series_labels().border_style(BLACK.mix(0.3)).background_style(WHITE).draw()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::example;
    use crate::server::Directory;

    #[test]
    fn reports_are_drawn_side_by_side() {
        let directory = Directory::create().unwrap();
        let (one, out) = (directory.path().join("one.json"), directory.path().join("out.svg"));
        std::fs::write(&one, serde_json::to_string(&example()).unwrap()).unwrap();
        draw(&[one.clone(), one.clone()], &out).unwrap();
        let svg = std::fs::read_to_string(&out).unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        assert_eq!(svg.matches("event-500 abc").count(), 6, "each run names itself in each of three panels");
        for figure in ["5494.5", "54.9", "12.0", "p99"] {
            assert!(svg.contains(figure), "{figure}");
        }
        std::fs::write(&one, "{}").unwrap();
        assert!(matches!(draw(&[one], &out), Err(Failure::Chart(_))));
    }
}
