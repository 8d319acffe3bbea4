//! The comparison for people.

use std::fmt::Write as _;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use consign_orchestrator::{ASSUMPTIONS, Figures, Report};

/// Moved orders that are shown; JSON has more.
const MOVED_SHOWN: usize = 5;

/// All reports, one after another, and what was taken for granted.
pub(super) fn text(reports: &[Report]) -> String {
    let mut text = String::new();
    for report in reports {
        // Writing to a text cannot fail.
        let _ = of_one(report, &mut text);
    }
    text.push_str("Taken for granted:\n");
    for assumption in ASSUMPTIONS {
        let _ = writeln!(text, "- {assumption}");
    }
    text
}

fn of_one(report: &Report, text: &mut String) -> std::fmt::Result {
    writeln!(
        text,
        "{}: {} orders, {} served as they were, {} otherwise.",
        report.strategy, report.orders, report.orders_same, report.orders_changed
    )?;
    let mut table = table(&["", "recorded", "draft", "change"]);
    for (name, of) in FIGURES {
        let (recorded, draft) = (of(&report.recorded), of(&report.draft));
        table.add_row([
            name.to_owned(),
            recorded.to_string(),
            draft.to_string(),
            change(recorded, draft),
        ]);
    }
    writeln!(text, "{}", aligned(table))?;
    let mut loads = self::table(&["location", "shipments", "draft", "units", "draft"]);
    for load in &report.locations {
        loads.add_row([
            load.location.to_string(),
            load.shipments_recorded.to_string(),
            load.shipments_draft.to_string(),
            load.units_recorded.to_string(),
            load.units_draft.to_string(),
        ]);
    }
    writeln!(text, "{}", aligned(loads))?;
    for regret in &report.regret {
        let name = match regret.rule.is_empty() {
            true => "no rule",
            false => regret.rule.as_str(),
        };
        writeln!(
            text,
            "Regret of {name:?}: {} in {} of {} decisions, {} units short that could be had.",
            regret.money, regret.decisions_dearer, regret.decisions, regret.units_short
        )?;
    }
    for moved in report.moved.iter().take(MOVED_SHOWN) {
        writeln!(
            text,
            "{}: {} ({}) becomes {} ({})",
            moved.order,
            served_by(&moved.recorded),
            moved.cost_recorded,
            served_by(&moved.draft),
            moved.cost_draft
        )?;
    }
    writeln!(text)
}

type Figure = fn(&Figures) -> i128;

/// What is compared, by name.
pub(super) const FIGURES: [(&str, Figure); 12] = [
    ("cost", |of| i128::from(of.cost)),
    ("carriers' rates", |of| i128::from(of.rates)),
    ("handling", |of| i128::from(of.handling)),
    ("shipments", |of| i128::from(of.shipments)),
    ("split orders", |of| i128::from(of.split_orders)),
    ("kilometres", |of| i128::from(of.km)),
    ("units served", |of| i128::from(of.units_served)),
    ("units waiting", |of| i128::from(of.units_waiting)),
    ("stockouts", |of| i128::from(of.stockouts)),
    ("units short at first", |of| {
        i128::from(of.units_short_at_first)
    }),
    ("orders promised", |of| i128::from(of.orders_promised)),
    ("days promised", |of| i128::from(of.promised_days)),
];

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(header);
    table
}

fn aligned(mut table: Table) -> Table {
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn change(recorded: i128, draft: i128) -> String {
    if recorded == draft {
        return "=".to_owned();
    }
    if recorded == 0 {
        return format!("{:+}", draft);
    }
    // Figures far beyond 2^53 are shown to fewer digits than a percentage has.
    format!(
        "{:+.1} %",
        (draft - recorded) as f64 * 100.0 / recorded as f64
    )
}

fn served_by(locations: &[impl AsRef<str>]) -> String {
    let names: Vec<&str> = locations.iter().map(AsRef::as_ref).collect();
    match names.is_empty() {
        true => "nobody".to_owned(),
        false => names.join(" + "),
    }
}
