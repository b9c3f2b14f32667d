//! Rows, and the table that people read.

use std::fmt;

use serde::Serialize;

/// What was measured, beside what it is measured by.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    /// The part under test: `queue`.
    pub(crate) bench: &'static str,
    /// What it did: `sqlite-8`.
    pub(crate) case: String,
    /// The median of our rounds.
    pub(crate) ours: f64,
    /// The median of the reference's rounds.
    pub(crate) reference: f64,
    /// What both are counted in.
    pub(crate) unit: &'static str,
    /// `ours / reference`.
    pub(crate) ratio: f64,
    /// What the ratio, or our own figure, should be.
    pub(crate) goal: Goal,
}

/// What is good enough.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Goal {
    /// The ratio is to be at least this.
    RatioAtLeast(f64),
    /// The ratio is to be at most this.
    RatioAtMost(f64),
    /// Our own figure is to be at most this.
    OursAtMost(f64),
    /// Only to be known.
    None,
}

impl Row {
    /// Whether the goal was reached.
    fn reached(&self) -> &'static str {
        let reached = match self.goal {
            Goal::None => return "",
            Goal::RatioAtLeast(least) => self.ratio >= least,
            Goal::RatioAtMost(most) => self.ratio <= most,
            Goal::OursAtMost(most) => self.ours <= most,
        };
        if reached { "yes" } else { "NO" }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RatioAtLeast(least) => write!(f, ">= {least}"),
            Self::RatioAtMost(most) => write!(f, "<= {most}"),
            Self::OursAtMost(most) => write!(f, "ours <= {most}"),
            Self::None => Ok(()),
        }
    }
}

impl Serialize for Goal {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A table in Markdown, aligned for a terminal too.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut cells = vec![
        [
            "case",
            "ours",
            "reference",
            "unit",
            "ratio",
            "goal",
            "reached",
        ]
        .map(str::to_owned),
    ];
    cells.push(["---", "--:", "--:", "---", "--:", "---", "---"].map(str::to_owned));
    cells.extend(rows.iter().map(|row| {
        [
            format!("{}/{}", row.bench, row.case),
            figure(row.ours),
            figure(row.reference),
            row.unit.to_owned(),
            format!("{:.2}", row.ratio),
            row.goal.to_string(),
            row.reached().to_owned(),
        ]
    }));
    let mut widths = [0; 7];
    for line in &cells {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.len());
        }
    }
    let mut table = String::new();
    for line in &cells {
        for (cell, &width) in line.iter().zip(&widths) {
            table.push_str(&format!("| {cell:width$} "));
        }
        table.push_str("|\n");
    }
    table
}

/// Three digits that count.
fn figure(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        middling if middling >= 10.0 => format!("{value:.1}"),
        middling if middling >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}
