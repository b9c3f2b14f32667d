//! The deployment engine that you embed.

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
pub mod model;
pub mod notifier;
mod notify;
mod pipeline;
mod restore;
pub mod retry;
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
