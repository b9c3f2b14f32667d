//! Values that come from people and machines outside, each parsed once.
//!
//! A type here can only be made by `parse`, so code that holds one never checks
//! it again. What is refused says why in an [`InvalidValue`].
//!
//! ```
//! use deployr_core::value::{BranchName, InputCode};
//!
//! let branch = BranchName::parse("release/2024.10")?;
//! assert_eq!(branch.as_str(), "release/2024.10");
//!
//! let refused = BranchName::parse("--upload-pack=x").unwrap_err();
//! assert_eq!(refused.code, InputCode::BranchInvalid);
//! # Ok::<(), deployr_core::value::InvalidValue>(())
//! ```

#[macro_use]
mod macros;

mod address;
mod bounded;
mod build_command;
mod chars;
mod commit_id;
mod custom_domain;
mod domain_name;
mod env;
mod env_set;
mod error;
mod git_ref;
mod git_url;
mod health_path;
mod image;
mod names;
mod network;
mod port;
mod project_name;
mod rel_path;
mod slug;
mod timetable;

#[cfg(test)]
mod tests;

pub use address::is_public_address;
pub use bounded::{
    BuildTimeout, DrainTime, HealthDeadline, HealthInterval, HealthStatus, HealthTimeout,
    KeepReleases,
};
pub use build_command::BuildCommand;
pub use commit_id::CommitId;
pub use custom_domain::CustomDomain;
pub use domain_name::DomainName;
pub use env::{EnvName, EnvValue};
pub use env_set::EnvSet;
pub use error::{InputCode, InvalidValue};
pub use git_ref::{BranchName, GitRef, TagName};
pub use git_url::{GitScheme, GitUrl, UrlPolicy};
pub use health_path::HealthPath;
pub use image::{BuildArg, BuildArgName, LoginName, RegistryHost};
pub use names::{
    ConcurrencyKey, Framework, JobKind, Label, ScheduleName, TargetName, TenantId, WorkerName,
};
pub use network::Network;
pub use port::Port;
pub use project_name::ProjectName;
pub use rel_path::{OutputDir, RelPath};
pub use slug::Slug;
pub use timetable::Timetable;
