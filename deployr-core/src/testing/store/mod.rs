//! What every store must do: the rules of [`store`](crate::store), as checks.

mod batches;
mod bench;
mod deployments;
mod domains;
mod endings;
mod insight;
mod invariants;
mod leases;
mod logs;
mod model;
mod ops;
mod projects;
mod queue;
mod releases;
mod removals;
mod retention;
mod retries;
mod schedules;
mod scheduling;
mod tenancy;
mod walk;

use std::sync::Arc;

use futures::future::BoxFuture;

use super::{ManualClock, suite};
use crate::store::Store;

pub use bench::Bench;
pub use invariants::check_invariants;
pub use model::agrees_with_memory;

/// One rule, and how to find out whether a store keeps it.
pub struct Check {
    /// The rule.
    pub name: &'static str,
    run: fn(Bench) -> BoxFuture<'static, ()>,
}

impl Check {
    /// Tries a fresh, empty store that goes by `clock`.
    ///
    /// # Errors
    ///
    /// What is wrong with the store.
    pub async fn run(&self, store: Arc<dyn Store>, clock: Arc<ManualClock>) -> Result<(), String> {
        suite::outcome((self.run)(Bench::new(store, clock))).await
    }
}

/// Lists functions as checks, each under its own name.
macro_rules! check_list {
    ($($name:ident,)*) => {
        pub(super) fn checks() -> Vec<super::Check> {
            vec![$(super::Check {
                name: stringify!($name),
                run: |bench| Box::pin($name(bench)),
            },)*]
        }
    };
}
use check_list;

/// All checks.
#[must_use]
pub fn checks() -> Vec<Check> {
    [
        projects::checks(),
        domains::checks(),
        deployments::checks(),
        endings::checks(),
        queue::checks(),
        batches::checks(),
        leases::checks(),
        retries::checks(),
        scheduling::checks(),
        schedules::checks(),
        insight::checks(),
        retention::checks(),
        logs::checks(),
        releases::checks(),
        removals::checks(),
        tenancy::checks(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Runs every check, each against a store of its own that `make` gives.
///
/// # Panics
///
/// When a check fails; all that failed are named.
pub async fn conformance<F, Fut>(make: F)
where
    F: Fn(Arc<ManualClock>) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    let mut failed = Vec::new();
    for check in checks() {
        let clock = Arc::new(ManualClock::default());
        let store = make(Arc::clone(&clock)).await;
        if let Err(reason) = check.run(store, clock).await {
            failed.push(format!("{}: {reason}", check.name));
        }
    }
    suite::tell(&failed);
}
