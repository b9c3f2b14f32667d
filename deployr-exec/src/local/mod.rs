//! This host as builder and as target.

#[cfg(feature = "local-builder")]
pub mod build;
#[cfg(feature = "local-executor")]
pub mod run;
