//! For tests: of backends, of embedding apps, and of the engine itself. A store in
//! memory, parts that follow a script, suites that every implementation of a trait
//! must pass, and a plan of faults that goes through each call of a run.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "everything in here is test code: a check fails by panicking"
)]

pub mod builder;
pub mod bus;
pub mod clock;
pub mod executor;
pub mod faults;
pub mod follow;
pub mod ingress;
pub mod memory;
pub mod mocks;
pub mod notifier;
pub mod source;
mod steps;
pub mod store;
mod suite;
pub mod sweep;
#[cfg(test)]
mod tests;

pub use clock::{ManualClock, RuntimeClock, SeededEntropy};
pub use faults::{FaultPlan, Faulty, Strike};
pub use memory::MemoryStore;
pub use mocks::{
    MemoryTarget, PlacedRelease, RecordingNotifier, Script, ScriptedBuilder, ScriptedExecutor,
    ScriptedIngress, ScriptedResolver, ScriptedSource,
};
pub use steps::RecordedStep;
