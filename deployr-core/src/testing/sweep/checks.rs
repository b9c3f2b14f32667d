//! What must hold once everything is over. The numbers are those of the invariants of
//! `RELIABILITY`; what [`check_invariants`] asks of the rows alone comes on top.

use std::collections::BTreeSet;

use super::operator::Final;
use super::parts;
use super::world::World;
use crate::log::LogStream;
use crate::model::{
    AuditAction, Cause, Deployment, DeploymentStatus, Failure, JobState, Page, Release,
    ReleaseState,
};
use crate::testing::faults::Part;
use crate::testing::store::check_invariants;

/// Everything, right after the last deployment has ended. A part may have `refused` a call
/// for good, and then need not have done what it refused.
pub(super) async fn all_is_in_order(world: &World, finals: &[Final], refused: Option<Part>) {
    let (store, tenant) = (&*world.store, &world.me.tenant);
    check_invariants(store, tenant).await;
    let strangers = world.strangers.get().unwrap();
    strangers.are_left_alone(store, tenant).await;
    for deployment in world.deployments().await {
        let first = finals.iter().find(|known| known.id == deployment.id);
        let first = first.expect("it was seen to be over");
        it_ended_once(world, &deployment, first).await;
        its_log_is_whole(world, &deployment, first).await;
        it_was_told_of(world, &deployment, refused);
    }
    let there = on_target(world).await;
    the_site_is_the_live_release(world, &there);
    let wrong = world.witness.wrong();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What nobody needs is gone after the next deployment at the latest.
pub(super) async fn nothing_is_left_behind(world: &World, refused: Option<Part>) {
    let there = on_target(world).await;
    let wanted: BTreeSet<i64> = there.iter().map(|release| release.number).collect();
    let target = world.executor.target(&world.slug);
    let found: BTreeSet<i64> = target.releases.keys().copied().collect();
    assert_eq!(found, wanted, "releases on the target, and in the store");
    let up = target.releases.iter().filter(|(_, release)| release.up);
    let up: Vec<i64> = up.map(|(number, _)| *number).collect();
    assert_eq!(up, target.current.into_iter().collect::<Vec<_>>(), "are up");
    let open = world.builder.0.open_workspaces();
    assert!(
        open.is_empty() || refused == Some(Part::Builder),
        "workspaces are left: {open:?}"
    );
}

async fn on_target(world: &World) -> Vec<Release> {
    let project = *world.project.get().unwrap();
    let there = world
        .store
        .releases_on_target(&world.me.tenant, project)
        .await;
    there.unwrap()
}

/// [8] One final state, for good; [10] with its job; [28] within its attempts.
async fn it_ended_once(world: &World, deployment: &Deployment, first: &Final) {
    let id = deployment.id;
    assert_eq!(
        (deployment.status, deployment.finished_at),
        (first.status, first.finished_at),
        "[8] {id} has changed after its end"
    );
    let tenant = &world.me.tenant;
    let audit = world.store.audit(tenant, Page::first(1_000)).await.unwrap();
    let ends = audit.iter().filter(|entry| {
        let status = DeploymentStatus::from_name(&entry.detail);
        entry.deployment == Some(id)
            && entry.action == AuditAction::DeploymentMoved
            && status.is_some_and(DeploymentStatus::is_final)
    });
    assert_eq!(ends.count(), 1, "[8] ends of {id}");

    let job = world.store.job(tenant, deployment.job).await.unwrap();
    let wanted = match (&deployment.status, &deployment.failure) {
        (DeploymentStatus::Success, None)
        | (DeploymentStatus::Failed, Some(Failure::Verdict { .. })) => JobState::Completed,
        (DeploymentStatus::Failed, Some(Failure::Fault { .. })) => JobState::Failed,
        (DeploymentStatus::Cancelled, Some(Failure::Cancelled { .. })) => JobState::Cancelled,
        _ => panic!("[8] how did {deployment:#?} end?"),
    };
    assert_eq!(job.state, wanted, "[8] the job of {deployment:#?}");
    assert!(job.attempt <= job.max_attempts, "[28] {job:#?}");
    assert!(i64::from(job.attempt) <= job.fence.0, "[2] {job:#?}");
}

/// [15] No line is missing in the middle, doubled, or out of order; [17] none comes after
/// the end, and before a success the last one was stored.
async fn its_log_is_whole(world: &World, deployment: &Deployment, first: &Final) {
    let (tenant, id) = (&world.me.tenant, deployment.id);
    let lines = world.store.read_log(tenant, id, 0, 10_000).await.unwrap();
    let log = || {
        let lines = lines
            .iter()
            .map(|line| format!("  {} {}", line.seq, line.text));
        format!("{id}:\n{}", lines.collect::<Vec<_>>().join("\n"))
    };
    assert_eq!(lines.len() as i64, first.last_line, "[17] {}", log());
    let output = lines.iter().filter(|line| line.stream == LogStream::Stdout);
    let (mut wanted, mut whole): (Option<(i64, usize)>, bool) = (None, false);
    for line in output {
        let (attempt, number) = match wanted {
            Some((attempt, number)) if parts::line(attempt, number) == line.text => {
                (attempt, number)
            }
            // The next attempt begins; the one before may have been cut off.
            last => {
                let later = last.map_or(0, |(attempt, _)| attempt);
                let begun = (later + 1..later + 9).find(|n| parts::line(*n, 1) == line.text);
                let begun = begun.unwrap_or_else(|| panic!("[15] {} in {}", line.text, log()));
                (begun, 1)
            }
        };
        whole |= number == parts::LINES;
        wanted = Some((attempt, number + 1));
    }
    let is_built = matches!(deployment.cause, Cause::Deploy { .. });
    if is_built && deployment.status == DeploymentStatus::Success {
        assert!(whole, "[17] no build was logged to its end: {}", log());
    }
    let says = |text: &str| lines.iter().any(|line| line.text == text);
    match (deployment.status, &deployment.failure) {
        (DeploymentStatus::Success, _) => {
            let number = live_number(world, deployment).await;
            let live = format!("release {number} is live");
            assert!(says(&live), "[17] `{live}` is not in {}", log());
        }
        (_, Some(Failure::Verdict { message, .. })) => {
            let last = lines.last().map(|line| line.text.as_str());
            let failed = format!("failed: {message}");
            assert_eq!(last, Some(failed.as_str()), "[17] {}", log());
        }
        _ => {}
    }
}

async fn live_number(world: &World, deployment: &Deployment) -> i64 {
    let release = match deployment.cause {
        Cause::Rollback { release } => release,
        Cause::Deploy { .. } => deployment.release.unwrap(),
    };
    let release = world.store.release_by_id(&world.me.tenant, release).await;
    release.unwrap().number
}

/// [10] One notification was enqueued for each deployment, in the transaction that ended
/// it, and was delivered at least once.
fn it_was_told_of(world: &World, deployment: &Deployment, refused: Option<Part>) {
    let id = deployment.id;
    let jobs = world.witness.notices(&id.to_string());
    assert_eq!(jobs, 1, "[10] jobs that tell of {id}");
    let notices = world.notifier.notices();
    let about: Vec<_> = notices
        .iter()
        .filter(|one| one.deployment.id == id)
        .collect();
    assert!(
        !about.is_empty() || refused == Some(Part::Notifier),
        "[10] nobody was told of {id}"
    );
    for notice in about {
        assert_eq!(notice.deployment.status, deployment.status, "[10] {id}");
    }
}

/// [26] The live release of the store is the one that the target has switched to and that
/// requests go to; nothing that was half made was ever switched to. [27] It is up: where
/// the new release did not become live, that is the old one.
fn the_site_is_the_live_release(world: &World, there: &[Release]) {
    let target = world.executor.target(&world.slug);
    let route = world.ingress.0.routed(&world.slug);
    for (number, release) in &target.switches {
        assert!(
            release.whole && release.verified,
            "[26] {number} was switched to like this: {release:?}"
        );
    }
    for release in there {
        let number = release.number;
        let placed = target.releases.get(&number);
        assert!(
            placed.is_some_and(|placed| placed.whole),
            "[26] release {number} is {:?}, and on the target {placed:?}",
            release.state
        );
    }
    let live = there.iter().find(|one| one.state == ReleaseState::Live);
    // Where none was ever live there is none to go back to.
    let Some(live) = live else { return };
    let routed = route.as_ref().map(|route| route.release);
    assert_eq!(
        (target.current, routed),
        (Some(live.number), Some(live.number)),
        "[26] the target's release and the ingress's, while release {} is live",
        live.number
    );
    let up = route.and_then(|route| world.executor.release_at(&route.endpoint));
    assert!(up.is_some(), "[27] the live release is not up");
}
