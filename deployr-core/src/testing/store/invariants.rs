use std::collections::HashMap;

use crate::model::{DeploymentStatus, JobState, Page, ReleaseState, Stage};
use crate::store::Store;
use crate::value::TenantId;

/// What holds between any two calls, whatever came before: to be asked after each
/// step of a test that injects faults or kills workers. Looks at the newest 1,000
/// rows of each sort.
///
/// # Panics
///
/// When a rule is broken, with the rule and the row.
pub async fn check_invariants(store: &dyn Store, tenant: &TenantId) {
    let mut busy = HashMap::new();
    let deployments = store
        .deployments(tenant, None, Page::first(1_000))
        .await
        .unwrap();
    for deployment in &deployments {
        let id = deployment.id;
        let job = store.job(tenant, deployment.job).await.unwrap();
        let over = deployment.status.is_final();
        assert_eq!(
            over,
            deployment.finished_at.is_some(),
            "finished_at of {deployment:?}"
        );
        assert_eq!(
            over,
            deployment.stage == Stage::Finished,
            "stage of {deployment:?}"
        );
        assert_eq!(over, job.state.is_final(), "job of {deployment:?}: {job:?}");
        assert_eq!(
            job.state.is_final(),
            job.finished_at.is_some(),
            "finished_at of {job:?}"
        );
        assert_eq!(
            job.state == JobState::Running,
            job.worker.is_some(),
            "worker of {job:?}"
        );
        assert_eq!(
            job.worker.is_some(),
            job.lease_until.is_some(),
            "lease of {job:?}"
        );
        if deployment.status == DeploymentStatus::Success {
            assert!(deployment.release.is_some(), "release of {deployment:?}");
        }
        if matches!(job.state, JobState::Queued | JobState::Running) {
            for limit in &job.limits {
                let taken = busy.entry(limit.key.clone()).or_insert(0);
                *taken += 1;
                assert!(
                    *taken <= limit.max.get(),
                    "{taken} jobs of key {}, among them {}",
                    limit.key,
                    job.id
                );
            }
        }

        let stages = store.stages(tenant, id).await.unwrap();
        let open = stages
            .iter()
            .filter(|stage| stage.ended_at.is_none())
            .count();
        assert_eq!(open, usize::from(!over), "open stages of {id}: {stages:?}");
        for pair in stages.windows(2) {
            assert_eq!(
                pair[0].ended_at,
                Some(pair[1].started_at),
                "stages of {id}: {stages:?}"
            );
        }

        let last = store.last_line(tenant, id).await.unwrap();
        let lines = store
            .read_log(tenant, id, (last - 10_000).max(0), 10_000)
            .await
            .unwrap();
        let first = (last - 10_000).max(0) + 1;
        assert!(
            lines.iter().map(|line| line.seq).eq(first..=last),
            "the log of {id} has gaps"
        );
    }

    for project in store.projects(tenant, Page::first(1_000)).await.unwrap() {
        let releases = store
            .releases(tenant, project.id, Page::first(1_000))
            .await
            .unwrap();
        let live = releases
            .iter()
            .filter(|row| row.state == ReleaseState::Live)
            .count();
        assert!(live <= 1, "{live} live releases of {}", project.slug);
        for release in releases
            .iter()
            .filter(|row| row.state == ReleaseState::Placed)
        {
            let maker = store.deployment(tenant, release.deployment).await.unwrap();
            assert!(
                !maker.status.is_final(),
                "{} is placed, but {maker:?}",
                release.id
            );
        }
    }
    let audit = store.audit(tenant, Page::first(1_000)).await.unwrap();
    assert!(
        audit.is_sorted_by(|a, b| a.seq > b.seq),
        "audit entries come newest first"
    );
}
