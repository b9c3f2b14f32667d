//! What a test run does, as drawn from its seed: which deployments are queued, and when the
//! server is killed.

use std::time::Duration;

use deployr_core::model::{Stage, StageTimes};
use deployr_core::testing::SeededEntropy;

use crate::site::Outcome;

/// Kills of a usual run; `DEPLOYR_SOAK` multiplies them.
const KILLS: usize = 50;

/// When the server is killed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Moment {
    /// So long after its process was started, before it serves.
    Starting(Duration),
    /// So long after deployments were queued.
    Working(Duration),
    /// So long after a deployment has entered the stage.
    In(Stage, Duration),
}

/// How long things take here, as seen of some that were left alone.
#[derive(Debug)]
pub(crate) struct Durations {
    start: Duration,
    deployment: Duration,
    stages: Vec<(Stage, Duration)>,
}

impl Durations {
    /// With what it takes to start.
    pub(crate) fn new(start: Duration) -> Self {
        let stages = Stage::ALL.into_iter();
        let entered = stages.filter(|stage| !matches!(stage, Stage::Queued | Stage::Finished));
        Self {
            start,
            deployment: Duration::ZERO,
            stages: entered.map(|stage| (stage, Duration::ZERO)).collect(),
        }
    }

    /// Adds a deployment; the longest counts.
    pub(crate) fn add(&mut self, times: &[StageTimes]) {
        let mut deployment = Duration::ZERO;
        for (stage, longest) in &mut self.stages {
            for time in times.iter().filter(|time| time.stage == *stage) {
                let length = time.ended_at.unwrap() - time.started_at;
                let length = length.to_std().unwrap();
                *longest = length.max(*longest);
                deployment += length;
            }
        }
        self.deployment = deployment.max(self.deployment);
    }
}

pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) kills: usize,
    dice: SeededEntropy,
}

impl Plan {
    /// By `DEPLOYR_SOAK_SEED`, to see a failure again, else another one each time.
    pub(crate) fn new() -> Self {
        let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
        let now = std::time::UNIX_EPOCH.elapsed().unwrap();
        let seed = number("DEPLOYR_SOAK_SEED").unwrap_or(now.as_micros() as u64);
        let soak = number("DEPLOYR_SOAK").unwrap_or(1).max(1) as usize;
        Self {
            seed,
            kills: KILLS * soak,
            dice: SeededEntropy::new(seed),
        }
    }

    /// Below `end`.
    pub(crate) fn dice(&self, end: usize) -> usize {
        self.dice.below(end)
    }

    /// So often in a hundred.
    pub(crate) fn in_hundred(&self, cases: usize) -> bool {
        self.dice(100) < cases
    }

    /// Mostly a good one.
    pub(crate) fn outcome(&self) -> Outcome {
        match self.dice(100) {
            0..75 => Outcome::Good,
            75..95 => Outcome::Bad,
            _ => Outcome::Endless,
        }
    }

    fn up_to(&self, longest: Duration) -> Duration {
        Duration::from_micros(self.dice(longest.as_micros() as usize + 1) as u64)
    }

    /// Half of them in a stage, each stage as often as the others, for some are so short
    /// that chance alone would hardly meet them.
    pub(crate) fn moment(&self, kill: usize, durations: &Durations) -> Moment {
        match kill % 10 {
            0 => Moment::Starting(self.up_to(durations.start)),
            even if even % 2 == 0 => Moment::Working(self.up_to(durations.deployment * 3 / 2)),
            _ => {
                let (stage, longest) = durations.stages[kill / 2 % durations.stages.len()];
                Moment::In(stage, self.up_to(longest))
            }
        }
    }
}
