//! Plays cases on all processors, and tells what failed.

use std::num::NonZero;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// More failures than that are only counted.
const TOLD: usize = 3;
/// After so many failures no more cases are begun.
const ENOUGH: usize = 20;

pub(super) struct Tally {
    cases: usize,
    failed: Vec<String>,
}

pub(super) fn play_all<C: Sync>(
    cases: &[C],
    play: impl Fn(&C) -> Result<(), String> + Sync,
) -> Tally {
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(wrong) = play(case) {
                let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                failed.push(wrong);
                if failed.len() >= ENOUGH {
                    next.store(cases.len(), Ordering::Relaxed);
                }
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, NonZero::get) {
            scope.spawn(work);
        }
    });
    Tally {
        cases: cases.len(),
        failed: failed.into_inner().unwrap_or_else(PoisonError::into_inner),
    }
}

impl Tally {
    #[expect(clippy::print_stdout, reason = "how much a soak has done")]
    pub(super) fn assert_good(&self) {
        assert!(self.cases > 0, "nothing was played");
        println!("{} cases", self.cases);
        let told = self.failed.iter().take(TOLD).cloned();
        assert!(
            self.failed.is_empty(),
            "{} of {} cases failed (after {ENOUGH} none is begun); the first:\n\n{}",
            self.failed.len(),
            self.cases,
            told.collect::<Vec<_>>().join("\n\n")
        );
    }
}
