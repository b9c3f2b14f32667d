//! What is done to the engine while it is being struck.

use std::time::Duration;

use crate::model::{DeploymentStatus as Status, Stage};
use crate::testing::SeededEntropy;

/// Something that an operator does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Asks for a deployment of a branch: see [`parts`](super::parts).
    Deploy(&'static str, Queueing),
    /// Asks to go back to the release before.
    Rollback,
    /// Calls the newest deployment off once it has come so far.
    CancelAt(Stage),
    /// Lets time pass.
    Wait(Duration),
    /// Waits until all that was asked for is over.
    Settle,
    /// Ends the process in good order, and starts another.
    Restart,
    /// The machine loses power: no process is left, nor what the ingress knew.
    Reboot,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Queueing {
    Supersede,
    KeepWaiting,
}

use Queueing::{KeepWaiting, Supersede};
use Step::{CancelAt, Deploy, Reboot, Restart, Rollback, Settle, Wait};

#[derive(Debug, Clone)]
pub(super) struct Scenario {
    pub(super) name: String,
    /// Done before, and never struck.
    pub(super) before: Vec<Step>,
    pub(super) steps: Vec<Step>,
    /// How each deployment of `steps` may end, whatever passing fault there was.
    pub(super) ends: Vec<Vec<Status>>,
}

impl Scenario {
    /// Whether its one deployment is called off before anything of it can be live.
    pub(super) fn is_called_off_early(&self) -> bool {
        self.steps == [GOOD, CancelAt(Stage::Build)]
    }
}

const MS: Duration = Duration::from_millis(1);
const GOOD: Step = Deploy("main", Supersede);

fn scenario<const N: usize>(
    name: &str,
    live: usize,
    steps: &[Step],
    ends: [&[Status]; N],
) -> Scenario {
    Scenario {
        name: name.to_owned(),
        before: [GOOD, Settle].repeat(live),
        steps: steps.to_vec(),
        ends: ends.iter().map(|end| end.to_vec()).collect(),
    }
}

pub(super) fn all() -> Vec<Scenario> {
    use Status::{Cancelled, Failed, Success};
    let waiting = Deploy("main", KeepWaiting);
    vec![
        scenario("first deployment", 0, &[GOOD], [&[Success]]),
        // Of the three releases two are kept: the oldest is pruned.
        scenario("redeployment", 2, &[GOOD], [&[Success]]),
        scenario("failing build", 1, &[Deploy("bad", Supersede)], [&[Failed]]),
        scenario(
            "unhealthy release",
            1,
            &[Deploy("sick", Supersede)],
            [&[Failed]],
        ),
        scenario("rollback", 2, &[Rollback], [&[Success]]),
        // Whoever has stood still comes back while somebody else is at it.
        scenario("slow build", 1, &[Deploy("slow", Supersede)], [&[Success]]),
        scenario(
            "cancelled build",
            1,
            &[GOOD, CancelAt(Stage::Build)],
            [&[Cancelled, Success]],
        ),
        scenario(
            "cancelled switch",
            1,
            &[GOOD, CancelAt(Stage::Activate)],
            [&[Cancelled, Success]],
        ),
        scenario(
            "cancelled rollback",
            2,
            &[Rollback, CancelAt(Stage::Activate)],
            [&[Cancelled, Success]],
        ),
        scenario(
            "superseded",
            1,
            &[GOOD, GOOD],
            [&[Cancelled, Success], &[Success]],
        ),
        scenario(
            "queued behind",
            1,
            &[waiting, waiting],
            [&[Success], &[Success]],
        ),
        scenario("restart", 1, &[GOOD, Wait(MS), Restart], [&[Success]]),
        scenario("reboot at rest", 1, &[Reboot], []),
        scenario(
            "reboot in a build",
            1,
            &[GOOD, Wait(Duration::from_millis(40)), Reboot],
            [&[Success]],
        ),
    ]
}

/// A day in the life of an operator: three to six steps that follow from the seed.
pub(super) fn random(seed: u64) -> Scenario {
    let dice = SeededEntropy::new(seed);
    let any = vec![Status::Success, Status::Failed, Status::Cancelled];
    let (mut steps, mut ends) = (Vec::new(), Vec::new());
    for _ in 0..3 + dice.below(4) {
        let queueing = [Supersede, KeepWaiting][dice.below(2)];
        let step = match dice.below(12) {
            0..4 => Deploy("main", queueing),
            4 => Deploy("bad", queueing),
            5 => Deploy("sick", queueing),
            6 | 7 => Rollback,
            8 => CancelAt(Stage::ALL[1 + dice.below(5)]),
            9 => Settle,
            10 => [Restart, Reboot][dice.below(2)],
            _ => Wait(MS * dice.below(300) as u32),
        };
        if matches!(step, Deploy(..) | Rollback) {
            ends.push(any.clone());
        }
        steps.push(step);
    }
    Scenario {
        name: format!("{steps:?}"),
        before: [GOOD, Settle].repeat(dice.below(3)),
        steps,
        ends,
    }
}
