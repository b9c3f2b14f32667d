//! One run.

use std::sync::Arc;

use super::checks;
use super::disk::Disk;
use super::operator::Operator;
use super::scenario::{Queueing, Scenario, Step};
use super::world::{Past, Strikes, World};
use crate::model::{Deployment, DeploymentStatus};
use crate::testing::faults::{Call, Part};
use crate::testing::suite;

#[derive(Debug, Clone)]
pub(super) struct Play {
    pub(super) name: String,
    pub(super) scenario: Scenario,
    pub(super) strikes: Strikes,
    /// The part that says that trying again is of no use, if one does.
    pub(super) refused: Option<Part>,
    /// Whether a deployment may fail for it.
    pub(super) may_fail: bool,
    /// Nothing fails, so nothing may be tried twice.
    pub(super) once: bool,
    pub(super) seed: u64,
}

/// What is there after some steps that nothing disturbs.
pub(super) async fn prepare(disk: Arc<dyn Disk>, steps: &[Step]) -> Past {
    let world = World::new(&Past::none(disk), 0).await;
    let mut operator = Operator::new(Arc::clone(&world), &[]);
    world.start().await;
    world.create_project().await;
    world.invite_strangers().await;
    operator.perform(steps).await;
    let all_live = operator.finals.iter().all(|one| is_live(one.status));
    assert!(all_live, "the preparations failed");
    world.stop().await;
    world.past(&operator.finals)
}

/// Gives the calls that there were; else what is wrong, and what happened.
pub(super) async fn play(case: &Play, past: &Past) -> Result<Vec<Call>, String> {
    let world = World::new(past, case.seed).await;
    let played = suite::outcome(perform(case, past, &world)).await;
    played.map_err(|wrong| {
        let story = world.witness.story();
        let end = story.len().saturating_sub(400);
        format!("{wrong}\n--\n{}\n--", story[end..].join("\n"))
    })
}

/// Gives the calls that there were until the scenario was over.
async fn perform(case: &Play, past: &Past, world: &Arc<World>) -> Vec<Call> {
    let mut operator = Operator::new(Arc::clone(world), &past.finals);
    world.arm(case.strikes.clone());
    world.start().await;
    operator.perform(&case.scenario.steps).await;
    operator.settle().await;
    checks::all_is_in_order(world, &operator.finals, case.refused).await;
    let deployments = world.deployments().await;
    let ended = &deployments[past.finals.len()..];
    for (deployment, ends) in ended.iter().zip(&case.scenario.ends) {
        let status = deployment.status;
        let may_fail = case.may_fail && status == DeploymentStatus::Failed;
        assert!(
            ends.contains(&status) || may_fail,
            "{status} and not {ends:?}: {deployment:#?}"
        );
        if case.strikes.at.is_empty() && case.scenario.is_called_off_early() {
            let cancelled = DeploymentStatus::Cancelled;
            assert_eq!(status, cancelled, "[25] called off in its build");
        }
        if case.once {
            it_was_tried_once(world, deployment).await;
        }
    }
    let calls = world.calls();

    // The engine goes on: whatever there was, the next deployment goes live.
    world.disarm();
    let next = Step::Deploy("main", Queueing::Supersede);
    operator.perform(&[next, Step::Settle]).await;
    let last = world.deployments().await.pop().unwrap();
    assert!(is_live(last.status), "the next deployment: {last:#?}");
    checks::all_is_in_order(world, &operator.finals, case.refused).await;
    checks::nothing_is_left_behind(world, case.refused).await;
    calls
}

fn is_live(status: DeploymentStatus) -> bool {
    status == DeploymentStatus::Success
}

/// RELIABILITY 28: what is only slow is not lost.
async fn it_was_tried_once(world: &World, deployment: &Deployment) {
    let tenant = &world.me.tenant;
    let job = world.store.job(tenant, deployment.job).await.unwrap();
    assert!(job.attempt <= 1, "[28] tried again: {job:#?}");
}
