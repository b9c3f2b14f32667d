//! What is stored, a file a thing. Plain data: rules about it are in
//! [`state`](crate::state), and who may see it is in the store's queries.

mod actor;
mod audit;
mod deployment;
mod domain;
mod ids;
mod images;
mod job;
mod page;
mod project;
mod recipe;
mod release;
mod removal;
mod schedule;
mod turn;

pub use actor::Actor;
pub use audit::{AuditAction, AuditEntry};
pub use deployment::{Cause, Deployment, DeploymentStatus, Failure, Stage, StageTimes};
pub use domain::Domain;
pub use ids::{AuditId, DeploymentId, InvalidId, JobId, ProjectId, ReleaseId, WorkerId};
pub use images::{Images, Login};
pub use job::{Claim, Fence, Job, JobState, Labels, Lease, Limit};
pub use page::Page;
pub use project::{EnvEntry, Project, ProjectSettings};
pub use recipe::{HealthCheck, OnTarget, Recipe, Runtime};
pub use release::{Release, ReleaseState};
pub use removal::Removal;
pub use schedule::{JobTemplate, Schedule};
pub use turn::Turn;
