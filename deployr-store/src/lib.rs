//! Stores for the [deployr](deployr_core) deployment engine: a SQLite
//! file, which needs no server, and a Postgres for any number of machines.
//!
//! ```
//! use deployr_core::model::{Actor, ProjectId, ProjectSettings};
//! use deployr_core::store::{NewProject, Projects};
//! use deployr_core::system::{Clock, SystemClock, SystemEntropy};
//! use deployr_core::value::{BranchName, GitUrl, ProjectName, Slug, TargetName, TenantId};
//! use deployr_store::SqliteStore;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("deployr.db");
//! let store = SqliteStore::open(&path).await?;
//!
//! let ada = Actor::new(TenantId::parse("acme")?, "ada@acme.example");
//! let settings = ProjectSettings::new(
//!     GitUrl::parse("https://github.com/acme/shop.git")?,
//!     BranchName::parse("main")?,
//!     TargetName::parse("local")?,
//! );
//! let project = store
//!     .create_project(
//!         &ada,
//!         NewProject {
//!             id: ProjectId::new(SystemClock.now(), &SystemEntropy),
//!             name: ProjectName::parse("Shop")?,
//!             slug: Slug::parse("shop")?,
//!             settings,
//!             env: Vec::new(),
//!         },
//!     )
//!     .await?;
//!
//! assert_eq!(store.project(&ada.tenant, project.id).await?, project);
//! # Ok(())
//! # })
//! # }
//! ```
//!
//! # Features
//!
//! * `sqlite` (default): `SqliteStore`.
//! * `postgres`: `PgStore`, and `PgBus` for its nodes. Wants Rust 1.94.

#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod error;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod removals;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod retention;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod rows;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod timed;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod words;

/// What [`PgStore::deploy_in`] and [`PgOptions`] are given things of.
#[cfg(feature = "postgres")]
pub use sqlx;

#[cfg(feature = "postgres")]
pub use postgres::{PgBus, PgOptions, PgStore};
/// What [`SqliteStore::deploy_in`] is given a transaction of.
#[cfg(feature = "sqlite")]
pub use rusqlite;

#[cfg(feature = "sqlite")]
pub use sqlite::{Options, SqliteStore};
