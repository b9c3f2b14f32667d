//! What every notifier must do: the rules of [`notifier`](crate::notifier), as checks.
//!
//! ```
//! use std::sync::Arc;
//!
//! use async_trait::async_trait;
//! use deployr_core::error::{Fault, StepError};
//! use deployr_core::model::{DeploymentId, DeploymentStatus};
//! use deployr_core::notifier::Notifier;
//! use deployr_core::testing::RecordingNotifier;
//! use deployr_core::testing::notifier::{NotifierHarness, conformance};
//!
//! struct Harness(RecordingNotifier);
//!
//! #[async_trait]
//! impl NotifierHarness for Harness {
//!     fn notifier(&self) -> Arc<dyn Notifier> {
//!         Arc::new(self.0.clone())
//!     }
//!     async fn received(&self) -> Vec<(DeploymentId, DeploymentStatus)> {
//!         let told = self.0.notices();
//!         told.iter().map(|notice| (notice.deployment.id, notice.deployment.status)).collect()
//!     }
//!     async fn refuse_one(&self) -> bool {
//!         let away = Fault::retryable("notify", "the receiver", "it is away");
//!         self.0.script().fail_next("notify", StepError::Fault(away));
//!         true
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! conformance(async || {
//!     Arc::new(Harness(RecordingNotifier::default())) as Arc<dyn NotifierHarness>
//! })
//! .await;
//! # });
//! # Ok::<(), std::io::Error>(())
//! ```

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::join_all;

use super::suite::{self, check_list, in_time};
use crate::model::{
    Cause, Deployment, DeploymentId, DeploymentStatus, Failure, JobId, Project, ProjectId,
    ProjectSettings, Stage,
};
use crate::notifier::{Notice, Notifier};
use crate::system::{Clock, SystemClock, SystemEntropy};
use crate::value::{BranchName, GitRef, GitUrl, ProjectName, Slug, TargetName, TenantId};

/// A notifier to check, and the other end.
#[async_trait]
pub trait NotifierHarness: Send + Sync {
    /// The notifier; the same at each call.
    fn notifier(&self) -> Arc<dyn Notifier>;

    /// All that has arrived at the other end, in any order: about which deployment, and
    /// how it ended.
    async fn received(&self) -> Vec<(DeploymentId, DeploymentStatus)>;

    /// Has the other end refuse the next notice, and only that one, in a way that
    /// passes. Says whether it can.
    async fn refuse_one(&self) -> bool;
}

type Harness = Arc<dyn NotifierHarness>;

check_list! { Harness;
    every_ending_is_told,
    a_notice_may_come_twice,
    notices_at_the_same_time_all_arrive,
    one_that_did_not_arrive_is_a_fault_that_passes,
}

/// Runs every check, each on a notifier of its own that `make` gives.
///
/// # Panics
///
/// When a check fails; all that failed are named.
pub async fn conformance<F, Fut>(make: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = Arc<dyn NotifierHarness>>,
{
    let mut failed = Vec::new();
    for (name, check) in CHECKS {
        if let Err(reason) = suite::outcome(check(make().await)).await {
            failed.push(format!("{name}: {reason}"));
        }
    }
    suite::tell(&failed);
}

/// A deployment that has ended so.
fn notice(status: DeploymentStatus) -> Notice {
    let now = SystemClock.now();
    let source = GitUrl::parse("https://git.example.com/acme/app.git").unwrap();
    let (branch, target) = (BranchName::parse("main"), TargetName::parse("local"));
    let settings = ProjectSettings::new(source, branch.unwrap(), target.unwrap());
    let project = Project {
        id: ProjectId::new(now, &SystemEntropy),
        tenant: TenantId::parse("acme").unwrap(),
        name: ProjectName::parse("M\u{fc}ller - S\u{f6}hne").unwrap(),
        slug: Slug::parse("shop").unwrap(),
        settings: settings.clone(),
        removal: None,
        created_at: now,
        updated_at: now,
    };
    let failure = match status {
        DeploymentStatus::Failed => Some(Failure::Verdict {
            code: "build_failed".to_owned(),
            message: "`npm run \"build\"` exited 1 & \u{2713}".to_owned(),
        }),
        DeploymentStatus::Cancelled => Some(Failure::Cancelled {
            reason: "by ada".to_owned(),
        }),
        _ => None,
    };
    let deployment = Deployment {
        id: DeploymentId::new(now, &SystemEntropy),
        tenant: project.tenant.clone(),
        project: project.id,
        number: 1,
        job: JobId::new(now, &SystemEntropy),
        cause: Cause::Deploy {
            reference: GitRef::Branch(settings.branch),
        },
        commit: None,
        status,
        stage: Stage::Finished,
        release: None,
        failure,
        actor: "ada".to_owned(),
        created_at: now,
        started_at: Some(now),
        finished_at: Some(now),
    };
    Notice {
        project,
        deployment,
        url: None,
    }
}

async fn tell(harness: &Harness, notice: &Notice) {
    let notifier = harness.notifier();
    in_time("notify", notifier.notify(notice)).await.unwrap();
}

async fn assert_received(harness: &Harness, notice: &Notice) {
    let wanted = (notice.deployment.id, notice.deployment.status);
    let received = harness.received().await;
    assert!(
        received.contains(&wanted),
        "{wanted:?} is not in {received:?}"
    );
}

async fn every_ending_is_told(harness: Harness) {
    assert!(!harness.notifier().name().is_empty());
    use DeploymentStatus::{Cancelled, Failed, Success};
    for status in [Success, Failed, Cancelled] {
        for url in [None, Some("http://shop.localhost/".to_owned())] {
            let notice = Notice {
                url,
                ..notice(status)
            };
            tell(&harness, &notice).await;
            assert_received(&harness, &notice).await;
        }
    }
}

async fn a_notice_may_come_twice(harness: Harness) {
    let notice = notice(DeploymentStatus::Success);
    for _ in 0..2 {
        tell(&harness, &notice).await;
        assert_received(&harness, &notice).await;
    }
}

async fn notices_at_the_same_time_all_arrive(harness: Harness) {
    let notices: Vec<_> = (0..10).map(|_| notice(DeploymentStatus::Failed)).collect();
    join_all(notices.iter().map(|notice| tell(&harness, notice))).await;
    for notice in &notices {
        assert_received(&harness, notice).await;
    }
}

async fn one_that_did_not_arrive_is_a_fault_that_passes(harness: Harness) {
    if !harness.refuse_one().await {
        return;
    }
    let notice = notice(DeploymentStatus::Success);
    let notifier = harness.notifier();
    let fault = in_time("notify", notifier.notify(&notice)).await;
    let fault = fault.unwrap_err();
    assert!(fault.retryable, "{fault}");
    tell(&harness, &notice).await;
    assert_received(&harness, &notice).await;
}
