//! Two things measured in turns, so that whatever else the machine does hits both.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::Error;
use crate::report::{Goal, Row};

/// How many rounds a median is taken of, where nothing else was said.
static ROUNDS: AtomicUsize = AtomicUsize::new(5);

/// How many rounds a median is taken of.
pub(crate) fn rounds() -> usize {
    ROUNDS.load(Ordering::Relaxed)
}

/// Says so: fewer than five are for a first look.
pub(crate) fn set_rounds(rounds: usize) {
    ROUNDS.store(rounds.max(1), Ordering::Relaxed);
}

/// A figure beside its reference.
pub(crate) struct Case {
    pub(crate) bench: &'static str,
    pub(crate) case: String,
    pub(crate) unit: &'static str,
    pub(crate) goal: Goal,
}

impl Case {
    /// Measures both [`rounds`] times, in turns; who begins changes with each round.
    pub(crate) fn measure(
        self,
        mut ours: impl FnMut() -> Result<f64, Error>,
        mut reference: impl FnMut() -> Result<f64, Error>,
    ) -> Result<Row, Error> {
        let (mut our_figures, mut their_figures) = (Vec::new(), Vec::new());
        for round in 0..rounds() {
            if round % 2 == 0 {
                our_figures.push(ours()?);
                their_figures.push(reference()?);
            } else {
                their_figures.push(reference()?);
                our_figures.push(ours()?);
            }
        }
        Ok(self.row(median(our_figures), median(their_figures)))
    }

    /// A row of figures that were measured elsewhere.
    pub(crate) fn row(self, ours: f64, reference: f64) -> Row {
        let row = Row {
            bench: self.bench,
            case: self.case,
            ours,
            reference,
            unit: self.unit,
            ratio: ours / reference,
            goal: self.goal,
        };
        eprintln!(
            "  {}/{}: {:.2} of {:.2} {} = {:.2}",
            row.bench, row.case, row.ours, row.reference, row.unit, row.ratio
        );
        row
    }
}

/// The middle one; the upper of two.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// What so many percent are below.
pub(crate) fn percentile(figures: &[f64], percent: usize) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = sorted.len() * percent / 100;
    sorted.get(at).copied().unwrap_or(f64::NAN)
}
