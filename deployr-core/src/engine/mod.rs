//! The face of deployr: what an embedding app calls. Everything here writes to the
//! store and returns; the work itself is done by a [`Worker`](crate::worker::Worker).

mod away;
mod builder;
mod deploying;
mod domains;
mod follow;
mod jobs;
mod look_up;
mod projects;
mod reading;
mod redaction;
mod removal;
mod request;
mod schedules;
mod secrets;
mod trouble;
mod why;

use std::collections::BTreeMap;
use std::sync::Arc;

use away::Away;
pub use builder::EngineBuilder;
pub use domains::DomainCheck;
pub use follow::{Event, Follow};
pub(crate) use redaction::{redacted, redacted_fault};
pub(crate) use removal::REMOVED;
pub use removal::RemoveRequest;
pub use request::{DeployRequest, Plan, ProjectRequest};
pub use trouble::{StoreTrouble, Trouble};
pub use why::{Reason, Why};

use crate::builder::Builder;
use crate::bus::EventBus;
use crate::error::{Fault, StepError, Verdict};
use crate::executor::Executor;
use crate::ingress::Ingress;
use crate::job::JobHandler;
use crate::log::LogLimits;
use crate::model::ProjectSettings;
use crate::notifier::Notifier;
use crate::resolver::Resolver;
use crate::secret::KeyRing;
use crate::source::{CredentialProvider, SourceProvider};
use crate::store::{Store, StoreError};
use crate::system::{Clock, Entropy};
use crate::value::{InvalidValue, JobKind, TargetName};

/// Why the engine did not do as asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// A value that the caller gave.
    #[error(transparent)]
    Invalid(#[from] InvalidValue),
    /// The store: not found, in conflict, away.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What was to be deployed is not fit for it.
    #[error(transparent)]
    Verdict(#[from] Verdict),
    /// The machinery failed.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The engine has no executor of that name.
    #[error("no target is called `{name}`; this engine has: {known}")]
    UnknownTarget {
        /// The name that was asked for.
        name: String,
        /// The names that there are.
        known: String,
    },
    /// There is no earlier release to go back to.
    #[error("project {project} has no earlier release to go back to")]
    NoEarlierRelease {
        /// The project's name.
        project: String,
    },
    /// A secret cannot be read with the keys that the engine has.
    #[error("{what} cannot be decrypted: {reason}")]
    Sealed {
        /// Which secret, by name.
        what: String,
        /// Why not.
        reason: String,
    },
    /// A part is missing from the builder.
    #[error("the engine needs a {part}: call `EngineBuilder::{part}`")]
    Missing {
        /// Which.
        part: &'static str,
    },
}

impl From<StepError> for EngineError {
    fn from(error: StepError) -> Self {
        match error {
            StepError::Verdict(verdict) => Self::Verdict(verdict),
            StepError::Fault(fault) => Self::Fault(fault),
            StepError::Stopped => {
                Self::Fault(Fault::retryable("the call", "the engine", "it was stopped"))
            }
        }
    }
}

/// The deployment engine. Cheap to clone; every call may be made from any task.
///
/// See the [crate's page](crate) for a whole program.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) bus: Arc<dyn EventBus>,
    pub(crate) source: Arc<dyn SourceProvider>,
    pub(crate) credentials: Option<Arc<dyn CredentialProvider>>,
    pub(crate) builder: Arc<dyn Builder>,
    /// Those of the targets that have one of their own.
    pub(crate) builders: BTreeMap<TargetName, Arc<dyn Builder>>,
    pub(crate) executors: BTreeMap<TargetName, Arc<dyn Executor>>,
    pub(crate) targets_elsewhere: bool,
    pub(crate) ingress: Option<Arc<dyn Ingress>>,
    pub(crate) resolver: Option<Arc<dyn Resolver>>,
    pub(crate) notifiers: Vec<Arc<dyn Notifier>>,
    pub(crate) handlers: BTreeMap<JobKind, Arc<dyn JobHandler>>,
    pub(crate) keys: KeyRing,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) log_limits: LogLimits,
    pub(crate) trouble: Arc<Trouble>,
    pub(crate) away: Away,
}

impl Engine {
    /// An engine is put together from its parts.
    #[must_use]
    pub fn builder() -> EngineBuilder {
        EngineBuilder::default()
    }

    /// Whether this engine deploys to that target; others may be another node's.
    #[must_use]
    pub fn has_target(&self, target: &TargetName) -> bool {
        self.0.executors.contains_key(target)
    }

    pub(crate) fn over(inner: Arc<Inner>) -> Self {
        Self(inner)
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.0
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("source", &self.0.source.name())
            .field("builder", &self.0.builder.name())
            .field("targets", &self.0.executors.keys())
            .finish_non_exhaustive()
    }
}

impl Inner {
    /// Whether a project may have these settings.
    fn check(&self, settings: &ProjectSettings) -> Result<(), EngineError> {
        if !self.targets_elsewhere {
            self.executor(&settings.target)?;
        }
        Ok(self.builder_for(&settings.target).check(settings)?)
    }

    /// What builds for a target.
    pub(crate) fn builder_for(&self, target: &TargetName) -> &Arc<dyn Builder> {
        self.builders.get(target).unwrap_or(&self.builder)
    }

    pub(crate) fn executor(&self, name: &TargetName) -> Result<Arc<dyn Executor>, EngineError> {
        self.executors
            .get(name)
            .cloned()
            .ok_or_else(|| EngineError::UnknownTarget {
                name: name.to_string(),
                known: self
                    .executors
                    .keys()
                    .map(TargetName::as_str)
                    .collect::<Vec<_>>()
                    .join(", "),
            })
    }
}
