//! This host as builder and as target.

#[cfg(feature = "local-builder")]
pub mod build;
mod files;
mod proc;
#[cfg(feature = "local-executor")]
pub mod run;
mod sandbox;

use deployr_core::error::{Fault, StepResult};

pub use sandbox::{Confinement, Sandbox};

/// Does work that waits for the disk or for processes where it holds up nobody.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> StepResult<T> + Send + 'static,
) -> StepResult<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| {
            Err(Fault::retryable("finish", "work in the background", error).into())
        })
}
