//! The comparison as a picture: each figure of each draft in per cent of what was recorded, and the units
//! that each location serves.

use std::path::Path;

use anyhow::{Context as _, anyhow};
use consign_orchestrator::Report;
use plotters::coord::Shift;
use plotters::prelude::*;

use super::table::FIGURES;

/// Pixels.
const SIZE: (u32, u32) = (1_200, 900);
/// What was recorded.
const RECORDED: RGBColor = RGBColor(120, 120, 120);
/// The drafts, one after another.
const DRAFTS: [RGBColor; 5] = [
    RGBColor(31, 119, 180),
    RGBColor(255, 127, 14),
    RGBColor(44, 160, 44),
    RGBColor(148, 103, 189),
    RGBColor(214, 39, 40),
];

/// A named group of bars: what was recorded, then each draft.
type Bars = Vec<(String, Vec<f64>)>;

/// Draws the reports into an SVG file.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn draw(reports: &[Report], file: &Path) -> anyhow::Result<()> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let drawn = root
            .fill(&WHITE)
            .map_err(|error| anyhow!("{error}"))
            .and_then(|()| {
                let (above, below) = root.split_vertically(SIZE.1 / 2);
                let caption = "Per cent of what was recorded";
                panel(&above, caption, &figures(reports), reports)?;
                panel(&below, "Units by location", &loads(reports), reports)?;
                root.present().map_err(|error| anyhow!("{error}"))
            });
        drawn.context("cannot draw the chart")?;
    }
    std::fs::write(file, svg).with_context(|| format!("cannot write {}", file.display()))
}

fn figures(reports: &[Report]) -> Bars {
    let mut bars = Bars::new();
    for (name, of) in FIGURES {
        let percent = |recorded: i128, draft: i128| match recorded {
            0 => None,
            recorded => Some(draft as f64 * 100.0 / recorded as f64),
        };
        let each = reports
            .iter()
            .map(|report| percent(of(&report.recorded), of(&report.draft)));
        // What did not happen at all has no percentage.
        if let Some(drafts) = each.collect::<Option<Vec<f64>>>() {
            bars.push((name.to_owned(), [vec![100.0], drafts].concat()));
        }
    }
    bars
}

fn loads(reports: &[Report]) -> Bars {
    let mut names: Vec<&str> = Vec::new();
    for load in reports.iter().flat_map(|report| &report.locations) {
        if !names.contains(&load.location.as_str()) {
            names.push(&load.location);
        }
    }
    let of = |report: &Report, name: &str| {
        let known = report.locations.iter().find(|load| load.location == name);
        known.map_or((0.0, 0.0), |load| {
            (load.units_recorded as f64, load.units_draft as f64)
        })
    };
    names
        .into_iter()
        .map(|name| {
            let recorded = reports.first().map_or(0.0, |report| of(report, name).0);
            let drafts: Vec<f64> = reports.iter().map(|report| of(report, name).1).collect();
            (name.to_owned(), [vec![recorded], drafts].concat())
        })
        .collect()
}

fn panel(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    caption: &str,
    bars: &Bars,
    reports: &[Report],
) -> anyhow::Result<()> {
    let most = bars.iter().flat_map(|(_, values)| values);
    let most = most.fold(1.0_f64, |most, value| most.max(*value));
    let groups = bars.len().max(1) as f64;
    let mut chart = ChartBuilder::on(area)
        .caption(caption, ("sans-serif", 20))
        .margin(10)
        .x_label_area_size(30)
        .y_label_area_size(70)
        .build_cartesian_2d(0.0..groups, 0.0..most * 1.1)
        .map_err(|error| anyhow!("{error}"))?;
    let name = |at: &f64| {
        let is_middle = (at.fract() - 0.5).abs() < 0.01;
        let group = bars.get(*at as usize).filter(|_| is_middle);
        group.map_or_else(String::new, |(name, _)| name.clone())
    };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(bars.len() * 2 + 1)
        .x_label_formatter(&name)
        .draw()
        .map_err(|error| anyhow!("{error}"))?;
    let width = 0.8 / (reports.len() + 1) as f64;
    for series in 0..=reports.len() {
        let color = match series.checked_sub(1) {
            None => RECORDED,
            Some(draft) => DRAFTS[draft % DRAFTS.len()],
        };
        let label = match series.checked_sub(1) {
            None => "recorded",
            Some(draft) => reports[draft].strategy.as_str(),
        };
        let rectangle = |(group, (_, values)): (usize, &(String, Vec<f64>))| {
            let left = group as f64 + 0.1 + width * series as f64;
            let corners = [(left, 0.0), (left + width, values[series])];
            Rectangle::new(corners, color.filled())
        };
        chart
            .draw_series(bars.iter().enumerate().map(rectangle))
            .map_err(|error| anyhow!("{error}"))?
            .label(label)
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 10, y + 5)], color.filled()));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK)
        .draw()
        .map_err(|error| anyhow!("{error}"))
}
