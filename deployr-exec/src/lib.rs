//! Builders, executors and ingress for the deployr deployment engine.

#[cfg(feature = "local-builder")]
pub mod framework;
#[cfg(feature = "local-executor")]
pub mod health;
#[cfg(feature = "builtin-ingress")]
pub mod ingress;
#[cfg(any(feature = "local-builder", feature = "local-executor"))]
pub mod local;
