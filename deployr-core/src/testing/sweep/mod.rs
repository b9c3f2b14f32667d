//! A fault at every call in turn. A scenario is played once without any, to count the
//! calls of the process under test; then again for each call and each way in which it can
//! be [struck](super::Strike), and each time everything must end in good order: see
//! `checks`. Whatever dies is started again, as a supervisor does; whatever stands still
//! is replaced, and wakes up later.
//!
//! Time is tokio's paused clock, so that hours pass in milliseconds and a run is the same
//! each time.

mod checks;
mod disk;
mod operator;
mod parts;
mod play;
mod report;
mod scenario;
mod strangers;
mod witness;
mod world;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Runtime;

use self::play::{Play, play, prepare};
use self::scenario::{Scenario, Step};
use self::world::{Past, STALL, Strikes};
use super::faults::{Call, Part};
use super::{SeededEntropy, Strike};

pub use disk::{Disk, MemoryDisk};

/// A sweep over one kind of store.
pub struct Sweep {
    runtime: fn() -> Runtime,
    disk: fn() -> Arc<dyn Disk>,
    one_of: usize,
    /// By the number of steps that led there.
    pasts: Mutex<BTreeMap<usize, Arc<Past>>>,
}

/// All ways to strike a call, and whether the process notices that it has lost its leases.
const WAYS: [(Strike, bool); 10] = [
    (Strike::Before, true),
    (Strike::After, true),
    (Strike::Refuse, true),
    (Strike::RefuseAfter, true),
    (Strike::HangBefore, true),
    (Strike::HangWithin, true),
    (Strike::HangAfter, true),
    (Strike::Delay(Duration::from_secs(20)), true),
    (Strike::Stall(STALL), true),
    (Strike::Stall(STALL), false),
];

/// Whether it makes sense to strike a call so.
fn fits(strike: Strike, call: Call) -> bool {
    match strike {
        // A store that is damaged cannot keep any promise.
        Strike::Refuse | Strike::RefuseAfter => call.part != Part::Store,
        // One call of a store is one transaction.
        Strike::HangWithin => call.part != Part::Store,
        _ => true,
    }
}

/// What can only be told of, and changes nothing about how a deployment ends.
fn follows_the_switch(call: Call) -> bool {
    let tidies_up = matches!(
        call.name,
        "drain" | "retire" | "prune" | "discard" | "clean"
    );
    tidies_up || call.part == Part::Notifier
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// How many times as much is to be played.
fn times() -> u64 {
    number("DEPLOYR_SOAK").unwrap_or(1).max(1)
}

fn first_seed() -> u64 {
    number("DEPLOYR_SOAK_SEED").unwrap_or(1)
}

impl Sweep {
    /// A sweep on runtimes of one thread whose clock is paused, over stores on fresh disks.
    #[must_use]
    pub fn new(runtime: fn() -> Runtime, disk: fn() -> Arc<dyn Disk>) -> Self {
        Self {
            runtime,
            disk,
            one_of: 1,
            pasts: Mutex::default(),
        }
    }

    /// Plays only one of so many cases; all of them where not called.
    #[must_use]
    pub fn one_of(mut self, cases: usize) -> Self {
        self.one_of = cases.max(1);
        self
    }

    /// Strikes every call of every scenario in every way. Of a [sample](Self::one_of),
    /// `DEPLOYR_SOAK` plays so many times as much, and `DEPLOYR_SOAK_SEED` chooses which.
    ///
    /// # Panics
    ///
    /// When something is not in order, with the scenario, the call, and the strike.
    pub fn every_call(&self) {
        let mut cases = Vec::new();
        for scenario in scenario::all() {
            for notices in [true, false] {
                let calls = self.count(&scenario, notices);
                for (n, call) in (1..).zip(&calls) {
                    let ways = WAYS.iter().filter(|way| way.1 == notices);
                    for (strike, _) in ways.filter(|way| fits(way.0, *call)) {
                        cases.push(self.case(&scenario, notices, &[(n, *strike)], &calls));
                    }
                }
            }
        }
        match std::env::var("DEPLOYR_SWEEP") {
            // To play a few again: a part of their names.
            Ok(wanted) => cases.retain(|case| case.name.contains(&wanted)),
            Err(_) => cases = self.sample(&cases),
        }
        report::play_all(&cases, |case| self.play(case)).assert_good();
    }

    /// One of each `one_of` cases that follow on each other, drawn by the seed.
    fn sample(&self, cases: &[Play]) -> Vec<Play> {
        let wanted = usize::try_from(times()).unwrap_or(usize::MAX);
        let stride = (self.one_of / wanted).max(1);
        let dice = SeededEntropy::new(first_seed());
        let drawn = cases.chunks(stride);
        drawn
            .map(|few| few[dice.below(few.len())].clone())
            .collect()
    }

    /// Plays random scenarios with two strikes each at random calls, `rounds` times, and so
    /// many times as often as the variable `DEPLOYR_SOAK` says. The first seed is that of
    /// `DEPLOYR_SOAK_SEED`, or 1.
    ///
    /// # Panics
    ///
    /// When something is not in order, with the seed.
    pub fn soak(&self, rounds: u64) {
        let first = first_seed();
        let rounds = rounds * times();
        let cases: Vec<u64> = (first..first + rounds).collect();
        report::play_all(&cases, |seed| self.soak_once(*seed)).assert_good();
    }

    fn soak_once(&self, seed: u64) -> Result<(), String> {
        let scenario = scenario::random(seed);
        let dice = SeededEntropy::new(seed);
        let notices = dice.below(3) > 0;
        let calls = self.count(&scenario, notices);
        let mut strikes = Vec::new();
        while strikes.len() < 2 {
            let n = dice.below(calls.len());
            let (strike, _) = WAYS[dice.below(WAYS.len())];
            // After the first strike the calls are others than those counted, so only what
            // fits any call.
            let any = Call {
                part: Part::Store,
                name: "any",
            };
            if fits(strike, any) {
                strikes.push((n + 1, strike));
            }
        }
        strikes.sort_by_key(|(n, _)| *n);
        let mut case = self.case(&scenario, notices, &strikes, &calls);
        case.seed = seed;
        self.play(&case)
    }

    /// The calls of the process under test, where nothing is struck.
    fn count(&self, scenario: &Scenario, notices: bool) -> Vec<Call> {
        let case = self.case(scenario, notices, &[], &[]);
        let played = self.played(&case);
        played.unwrap_or_else(|wrong| panic!("{}: {wrong}", case.name))
    }

    fn case(
        &self,
        scenario: &Scenario,
        notices: bool,
        strikes: &[(usize, Strike)],
        calls: &[Call],
    ) -> Play {
        let told = strikes.iter().map(|(n, strike)| {
            let name = calls[n - 1].name;
            format!("{strike:?} at call {n} of {} (`{name}`)", calls.len())
        });
        let told = told.collect::<Vec<_>>().join(", then ");
        let unnoticing = if notices {
            ""
        } else {
            ", leases lost unnoticed"
        };
        let lasting = |strike: &Strike| matches!(strike, Strike::Refuse | Strike::RefuseAfter);
        let refused = strikes.iter().find(|(_, strike)| lasting(strike));
        let refused = refused.map(|(n, _)| calls[n - 1]);
        let process_goes = scenario.steps.contains(&Step::Reboot);
        let only_slow = strikes.iter().all(|(n, strike)| {
            let claims = matches!(calls[n - 1].name, "claim" | "heartbeat");
            matches!(strike, Strike::Delay(_)) && !claims
        });
        Play {
            name: format!("{}{unnoticing}: {told}", scenario.name),
            scenario: scenario.clone(),
            strikes: Strikes {
                at: strikes.to_vec(),
                unnoticing: !notices,
            },
            refused: refused.map(|call| call.part),
            may_fail: refused.is_some_and(|call| !follows_the_switch(call)),
            once: only_slow && !process_goes,
            seed: 1,
        }
    }

    fn past(&self, steps: &[Step]) -> Arc<Past> {
        let mut pasts = self.pasts.lock().unwrap_or_else(PoisonError::into_inner);
        let past = pasts.entry(steps.len()).or_insert_with(|| {
            let runtime = (self.runtime)();
            let past = runtime.block_on(prepare((self.disk)(), steps));
            runtime.shutdown_background();
            Arc::new(past)
        });
        Arc::clone(past)
    }

    fn play(&self, case: &Play) -> Result<(), String> {
        self.played(case).map(drop)
    }

    fn played(&self, case: &Play) -> Result<Vec<Call>, String> {
        let past = self.past(&case.scenario.before);
        let runtime = (self.runtime)();
        let played = runtime.block_on(play(case, &past));
        runtime.shutdown_background();
        played.map_err(|wrong| format!("{} (seed {}):\n{wrong}", case.name, case.seed))
    }
}
