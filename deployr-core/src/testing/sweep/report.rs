//! Plays cases on all processors, and tells what failed.

use std::num::NonZero;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// More failures than that are only counted.
const TOLD: usize = 3;

pub(super) struct Tally {
    played: usize,
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
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, NonZero::get) {
            scope.spawn(work);
        }
    });
    Tally {
        played: cases.len(),
        failed: failed.into_inner().unwrap_or_else(PoisonError::into_inner),
    }
}

impl Tally {
    #[expect(clippy::print_stdout, reason = "how much a soak has done")]
    pub(super) fn assert_good(&self) {
        assert!(self.played > 0, "nothing was played");
        println!("{} cases played", self.played);
        let told = self.failed.iter().take(TOLD).cloned();
        assert!(
            self.failed.is_empty(),
            "{} of {} cases failed; the first:\n\n{}",
            self.failed.len(),
            self.played,
            told.collect::<Vec<_>>().join("\n\n")
        );
    }
}
