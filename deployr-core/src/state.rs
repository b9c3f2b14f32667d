//! The two state machines, as pure functions: the only place where a status
//! changes. The charts are generated from these functions by a test.
//!
#![doc = include_str!("../docs/state.md")]

use std::fmt;

use crate::model::{DeploymentStatus, JobState, ReleaseState, Stage};

/// A change that the machine does not know. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a {machine} that is {from} cannot {event}")]
pub struct IllegalTransition {
    /// Which of the two machines.
    pub machine: &'static str,
    /// Where it stands.
    pub from: &'static str,
    /// What was asked of it.
    pub event: &'static str,
}

/// What can happen to a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeploymentEvent {
    /// A worker enters a stage that builds.
    Build,
    /// A worker enters a stage that deploys.
    Deploy,
    /// Its job goes back to the queue: a fault, a lost worker, or a shutdown.
    Requeue,
    /// The release is live.
    Succeed,
    /// A verdict, or a fault that no attempt can mend.
    Fail,
    /// Somebody wants it stopped, and a worker holds it.
    RequestCancel,
    /// Nobody works on it (any longer), and it was called off.
    Cancel,
}

impl DeploymentEvent {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Build,
        Self::Deploy,
        Self::Requeue,
        Self::Succeed,
        Self::Fail,
        Self::RequestCancel,
        Self::Cancel,
    ];

    /// The event of entering a stage; none for the two stages that nobody enters.
    #[must_use]
    pub fn entering(stage: Stage) -> Option<Self> {
        match stage {
            Stage::Queued | Stage::Finished => None,
            Stage::Checkout | Stage::Build => Some(Self::Build),
            Stage::Release | Stage::Verify | Stage::Activate => Some(Self::Deploy),
        }
    }

    /// Its name in charts and errors.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Deploy => "deploy",
            Self::Requeue => "requeue",
            Self::Succeed => "succeed",
            Self::Fail => "fail",
            Self::RequestCancel => "request_cancel",
            Self::Cancel => "cancel",
        }
    }
}

impl DeploymentStatus {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Queued,
        Self::Building,
        Self::Deploying,
        Self::Cancelling,
        Self::Success,
        Self::Failed,
        Self::Cancelled,
    ];

    /// Whether it never changes again.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Success | Self::Failed | Self::Cancelled)
    }

    /// Its name in stores, charts and errors.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Building => "building",
            Self::Deploying => "deploying",
            Self::Cancelling => "cancelling",
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The status of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }

    /// The status after `event`.
    ///
    /// ```
    /// use deployr_core::model::DeploymentStatus;
    /// use deployr_core::state::DeploymentEvent;
    ///
    /// let building = DeploymentStatus::Queued.on(DeploymentEvent::Build)?;
    /// assert_eq!(building, DeploymentStatus::Building);
    /// assert!(DeploymentStatus::Success.on(DeploymentEvent::Fail).is_err());
    /// # Ok::<(), deployr_core::state::IllegalTransition>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When the machine knows no such change.
    pub fn on(self, event: DeploymentEvent) -> Result<Self, IllegalTransition> {
        use DeploymentEvent as Event;
        match (self, event) {
            (Self::Queued | Self::Building, Event::Build) => Ok(Self::Building),
            // A rollback builds nothing and deploys at once.
            (Self::Queued | Self::Building | Self::Deploying, Event::Deploy) => Ok(Self::Deploying),
            (Self::Queued | Self::Building | Self::Deploying, Event::Requeue) => Ok(Self::Queued),
            // The next attempt only puts the target in order.
            (Self::Cancelling, Event::Requeue) => Ok(Self::Cancelling),
            // The switch may have come before the wish to cancel.
            (Self::Deploying | Self::Cancelling, Event::Succeed) => Ok(Self::Success),
            (Self::Queued | Self::Building | Self::Deploying | Self::Cancelling, Event::Fail) => {
                Ok(Self::Failed)
            }
            (
                Self::Building | Self::Deploying | Self::Queued | Self::Cancelling,
                Event::RequestCancel,
            ) => Ok(Self::Cancelling),
            (Self::Queued | Self::Cancelling, Event::Cancel) => Ok(Self::Cancelled),
            _ => Err(IllegalTransition {
                machine: "deployment",
                from: self.as_str(),
                event: event.as_str(),
            }),
        }
    }
}

/// What can happen to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobEvent {
    /// Its time has come, and there is room for it.
    Promote,
    /// A worker takes it.
    Claim,
    /// It is carried out.
    Complete,
    /// It goes back to the queue at once: its worker was shut down, or it shall stop.
    Requeue,
    /// It is tried again later: a fault with attempts left, a lost lease.
    Postpone,
    /// It cannot be carried out, or did not start in time.
    Fail,
    /// It is called off, and nobody works on it.
    Cancel,
}

impl JobEvent {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Promote,
        Self::Claim,
        Self::Complete,
        Self::Requeue,
        Self::Postpone,
        Self::Fail,
        Self::Cancel,
    ];

    /// Its name in charts and errors.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Promote => "promote",
            Self::Claim => "claim",
            Self::Complete => "complete",
            Self::Requeue => "requeue",
            Self::Postpone => "postpone",
            Self::Fail => "fail",
            Self::Cancel => "cancel",
        }
    }
}

impl JobState {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Pending,
        Self::Queued,
        Self::Running,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
    ];

    /// Whether it never changes again.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }

    /// Its name in stores, charts and errors.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// The state after `event`.
    ///
    /// # Errors
    ///
    /// When the machine knows no such change.
    pub fn on(self, event: JobEvent) -> Result<Self, IllegalTransition> {
        match (self, event) {
            (Self::Pending, JobEvent::Promote) => Ok(Self::Queued),
            (Self::Queued, JobEvent::Claim) => Ok(Self::Running),
            (Self::Running, JobEvent::Complete) => Ok(Self::Completed),
            (Self::Running, JobEvent::Requeue) => Ok(Self::Queued),
            (Self::Running, JobEvent::Postpone) => Ok(Self::Pending),
            (Self::Pending | Self::Queued | Self::Running, JobEvent::Fail) => Ok(Self::Failed),
            (Self::Pending | Self::Queued | Self::Running, JobEvent::Cancel) => Ok(Self::Cancelled),
            _ => Err(IllegalTransition {
                machine: "job",
                from: self.as_str(),
                event: event.as_str(),
            }),
        }
    }
}

impl ReleaseState {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Placed, Self::Live, Self::Kept, Self::Gone];

    /// Its name in stores.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Placed => "placed",
            Self::Live => "live",
            Self::Kept => "kept",
            Self::Gone => "gone",
        }
    }

    /// The state of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

impl Stage {
    /// All of them, in order.
    pub const ALL: [Self; 7] = [
        Self::Queued,
        Self::Checkout,
        Self::Build,
        Self::Release,
        Self::Verify,
        Self::Activate,
        Self::Finished,
    ];

    /// Its name in stores and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Checkout => "checkout",
            Self::Build => "build",
            Self::Release => "release",
            Self::Verify => "verify",
            Self::Activate => "activate",
            Self::Finished => "finished",
        }
    }

    /// The stage of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.as_str() == name)
    }
}

impl fmt::Display for DeploymentStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
