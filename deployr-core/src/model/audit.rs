use serde::{Deserialize, Serialize};

use super::{DeploymentId, ProjectId};
use crate::system::Timestamp;
use crate::value::TenantId;

/// One line of the audit log. Written by the store in the same transaction as the
/// change that it tells of, so that neither can exist alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Position in the store's audit log; rises, may have gaps.
    pub seq: i64,
    /// When, by the store's clock.
    pub at: Timestamp,
    /// Whose.
    pub tenant: TenantId,
    /// Who did it; `deployr` for the engine itself.
    pub actor: String,
    /// What was done.
    pub action: AuditAction,
    /// The project that it was done to.
    pub project: Option<ProjectId>,
    /// The deployment that it was done to.
    pub deployment: Option<DeploymentId>,
    /// Particulars in words, without secrets; may be empty.
    pub detail: String,
}

/// What an audit entry tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AuditAction {
    /// A project was created.
    ProjectCreated,
    /// A project's settings changed.
    ProjectUpdated,
    /// A variable of a project's environment was set or removed (its name is the detail).
    EnvChanged,
    /// A domain was added to a project (its name is the detail).
    DomainAdded,
    /// A domain has become a project's (its name is the detail).
    DomainVerified,
    /// A domain is no longer a project's, as somebody else has shown that it is theirs (its
    /// name is the detail).
    DomainLost,
    /// A domain was taken from a project on request (its name is the detail).
    DomainRemoved,
    /// Somebody asked to remove a project (what with it is the detail).
    RemovalRequested,
    /// A project was removed (its name is the detail).
    ProjectRemoved,
    /// A deployment was asked for.
    DeploymentCreated,
    /// A deployment changed its status (the new one is the detail).
    DeploymentMoved,
    /// Somebody asked to cancel a deployment.
    CancelRequested,
}

impl AuditAction {
    /// The name under which it is stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ProjectCreated => "project_created",
            Self::ProjectUpdated => "project_updated",
            Self::EnvChanged => "env_changed",
            Self::DomainAdded => "domain_added",
            Self::DomainVerified => "domain_verified",
            Self::DomainLost => "domain_lost",
            Self::DomainRemoved => "domain_removed",
            Self::RemovalRequested => "removal_requested",
            Self::ProjectRemoved => "project_removed",
            Self::DeploymentCreated => "deployment_created",
            Self::DeploymentMoved => "deployment_moved",
            Self::CancelRequested => "cancel_requested",
        }
    }

    /// The action of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [
            Self::ProjectCreated,
            Self::ProjectUpdated,
            Self::EnvChanged,
            Self::DomainAdded,
            Self::DomainVerified,
            Self::DomainLost,
            Self::DomainRemoved,
            Self::RemovalRequested,
            Self::ProjectRemoved,
            Self::DeploymentCreated,
            Self::DeploymentMoved,
            Self::CancelRequested,
        ]
        .into_iter()
        .find(|action| action.as_str() == name)
    }
}
