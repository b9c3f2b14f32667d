use serde::{Deserialize, Serialize};

use super::{DeploymentId, JobId, ProjectId, ReleaseId};
use crate::system::Timestamp;
use crate::value::{CommitId, GitRef, TenantId};

/// One attempt to bring one commit of a project to its target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// Its key.
    pub id: DeploymentId,
    /// Whose.
    pub tenant: TenantId,
    /// Of which project.
    pub project: ProjectId,
    /// Counts the project's deployments from 1. A target refuses to switch to a
    /// lower number than it has switched to.
    pub number: i64,
    /// The job that carries it out.
    pub job: JobId,
    /// What was asked for.
    pub cause: Cause,
    /// What it came down to; known from the checkout on.
    pub commit: Option<CommitId>,
    /// Where it stands.
    pub status: DeploymentStatus,
    /// What it does at present, finer than the status.
    pub stage: Stage,
    /// The release that it placed, if it came that far.
    pub release: Option<ReleaseId>,
    /// Why it failed, or why it was cancelled.
    pub failure: Option<Failure>,
    /// Who asked for it.
    pub actor: String,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When a worker first took it up.
    pub started_at: Option<Timestamp>,
    /// When it reached a final status.
    pub finished_at: Option<Timestamp>,
}

/// What a deployment shall bring to the target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Cause {
    /// Build what the ref points at when the work starts.
    Deploy {
        /// The branch, tag or commit.
        reference: GitRef,
    },
    /// Switch to a release that is kept; builds nothing.
    Rollback {
        /// The release to go back to.
        release: ReleaseId,
    },
}

/// Where a deployment stands. See [`state`](crate::state) for how it moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeploymentStatus {
    /// Waits for a worker, for its turn, or for another attempt.
    Queued,
    /// The source is fetched and built.
    Building,
    /// A release is placed, verified and switched to.
    Deploying,
    /// Shall stop; whoever works on it has not acknowledged yet.
    Cancelling,
    /// Its release is live. Final.
    Success,
    /// It is not live, and never will be. Final.
    Failed,
    /// It was called off before it went live. Final.
    Cancelled,
}

/// The parts of a deployment that have times of their own, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Waits.
    Queued,
    /// Resolves the ref and fetches the source.
    Checkout,
    /// Turns the source into an artifact.
    Build,
    /// Places the artifact beside the old release, and starts it.
    Release,
    /// Waits until the new release is healthy.
    Verify,
    /// Sends the traffic to the new release, drains and retires the old one.
    Activate,
    /// Over.
    Finished,
}

/// When a stage of a deployment began and ended. A stage that was begun again by a
/// later attempt has one entry an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageTimes {
    /// Which.
    pub stage: Stage,
    /// The attempt of the job; 0 for the time before the first.
    pub attempt: u32,
    /// When it began.
    pub started_at: Timestamp,
    /// When the next began; none for the present one.
    pub ended_at: Option<Timestamp>,
}

/// Why a deployment did not go live. A verdict is about what was deployed, a fault
/// about the machinery; a cancellation is about somebody's wish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Failure {
    /// Theirs: the build exited 1, the site never became healthy.
    Verdict {
        /// Stable name of the reason, for machines.
        code: String,
        /// What was attempted, on what, and why it failed.
        message: String,
    },
    /// Ours: Docker did not answer, the disk is full.
    Fault {
        /// What was attempted, on what, and why it failed.
        message: String,
    },
    /// Called off.
    Cancelled {
        /// By whom or by what.
        reason: String,
    },
}

impl Failure {
    /// The words for people.
    #[must_use]
    pub fn message(&self) -> &str {
        match self {
            Self::Verdict { message, .. } | Self::Fault { message } => message,
            Self::Cancelled { reason } => reason,
        }
    }
}
