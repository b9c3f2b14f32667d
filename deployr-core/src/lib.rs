//! The deployment engine that you embed: it turns a git commit into a running release
//! on a target, through a durable state machine, with every part swappable.
//!
//! ```no_run
//! use std::sync::Arc;
//! use deployr_core::engine::{DeployRequest, Engine, EngineError, ProjectRequest};
//! use deployr_core::model::Actor;
//! use deployr_core::value::{GitUrl, TenantId};
//! # use deployr_core::{builder::Builder, executor::Executor, secret::KeyRing, source::SourceProvider, store::Store};
//!
//! # async fn program(
//! #     store: Arc<dyn Store>, source: Arc<dyn SourceProvider>, builder: Arc<dyn Builder>,
//! #     executor: Arc<dyn Executor>, keys: KeyRing,
//! # ) -> Result<(), EngineError> {
//! // Each part is a trait; deployr-store, deployr-github and deployr-exec have some.
//! let engine = Engine::builder()
//!     .store(store)
//!     .source(source)
//!     .builder(builder)
//!     .executor("local", executor)
//!     .keys(keys)
//!     .build()?;
//! let worker = engine.worker().concurrency(4).spawn();
//!
//! let me = Actor::new(TenantId::parse("acme")?, "ada");
//! let url = GitUrl::parse("https://example.com/acme/blog.git")?;
//! let blog = engine.create_project(&me, ProjectRequest::new("blog", url)?).await?;
//! let deployment = engine.deploy(&me, blog.id, DeployRequest::latest()).await?;
//!
//! let mut events = engine.follow(&me, deployment.id, 0).await?;
//! while let Some(event) = events.try_next().await? {
//!     println!("{event}"); // stages and log lines, in order, none lost
//! }
//! worker.drain(std::time::Duration::from_secs(60)).await;
//! # Ok(())
//! # }
//! ```
//!
//! # The parts
//!
//! | trait | does |
//! | --- | --- |
//! | [`store::Store`] | keeps everything that must outlive a process |
//! | [`bus::EventBus`] | tells every node that something changed |
//! | [`source::SourceProvider`] | finds a commit and checks it out |
//! | [`builder::Builder`] | turns a checkout into an artifact |
//! | [`executor::Executor`] | places a release on a target, switches to it, takes it back |
//! | [`ingress::Ingress`] | sends a public name's traffic to a release |
//! | [`notifier::Notifier`] | tells people and other systems |
//! | [`job::JobHandler`] | carries out jobs of a kind of your own |
//!
//! # Where to start reading
//!
//! [`engine`] is the face, `pipeline` the whole of a deployment from top to bottom,
//! [`worker`] the loop that carries jobs out, [`state`] the two state machines.
//!
//! # Features
//!
//! * `testing`: an in-memory store, mocks, conformance suites for every trait and a
//!   fault injector. For tests only.

pub mod builder;
pub mod bus;
pub mod command;
pub mod context;
pub mod engine;
pub mod error;
pub mod executor;
pub mod ingress;
pub mod job;
pub mod log;
pub mod metrics;
pub mod model;
pub mod notifier;
mod notify;
mod pipeline;
mod redeploying;
mod removing;
pub mod resolver;
mod restore;
pub mod retry;
mod routing;
mod scheduler;
pub mod secret;
pub mod source;
pub mod state;
pub mod store;
pub mod system;
#[cfg(feature = "testing")]
pub mod testing;
pub mod value;
pub mod worker;

pub use restore::Restored;
