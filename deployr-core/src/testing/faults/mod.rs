//! Faults at any point of a run. A [`FaultPlan`] counts the calls of all parts that
//! it wraps, and strikes at the n-th: so a test runs once without a fault, asks how
//! many calls there were, and then goes over all of them.
//!
//! ```
//! use std::sync::Arc;
//! use deployr_core::model::Page;
//! use deployr_core::store::Projects;
//! use deployr_core::testing::{FaultPlan, MemoryStore, Strike};
//! use deployr_core::value::TenantId;
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let plan = FaultPlan::default();
//! let store = plan.wrap(Arc::new(MemoryStore::default()));
//! let acme = TenantId::parse("acme")?;
//!
//! plan.strike(2, Strike::Before);
//! assert!(store.projects(&acme, Page::first(1)).await.is_ok());
//! assert!(store.projects(&acme, Page::first(1)).await.is_err(), "the second call fails");
//! assert!(store.projects(&acme, Page::first(1)).await.is_ok());
//! assert_eq!(plan.count(), 3);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

/// Writes the calls of a trait: each goes to the part, through the plan.
macro_rules! forward {
    ($trait:path; $(
        fn $name:ident(&self $(, $arg:ident: $type:ty)* $(,)?) -> $answer:ty;
    )*) => {
        #[async_trait::async_trait]
        impl<T: $trait + ?Sized> $trait for super::Faulty<T> {
            $(async fn $name(&self $(, $arg: $type)*) -> $answer {
                self.plan.call(stringify!($name), self.part.$name($($arg),*)).await
            })*
        }
    };
}

mod parts;
mod store;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strike {
    /// It fails before it does anything; the same call may succeed later.
    Before,
    /// It is done, and then fails: the answer was lost.
    After,
    /// It never returns and does nothing: the process died before it. Drop the future.
    HangBefore,
    /// It is done and never returns: the process died after it. Drop the future.
    HangAfter,
    /// It is done after a pause (of tokio's clock).
    Delay(Duration),
}

/// Which calls are struck, shared by all the parts that it [wraps](Self::wrap) and by
/// its clones.
#[derive(Debug, Clone, Default)]
pub struct FaultPlan(Arc<Plan>);

#[derive(Debug, Default)]
struct Plan {
    state: Mutex<State>,
    hung: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct State {
    calls: Vec<&'static str>,
    strikes: BTreeMap<usize, Strike>,
}

impl FaultPlan {
    /// Has the `n`-th call from the beginning struck, counted from 1 over all parts.
    pub fn strike(&self, n: usize, strike: Strike) {
        self.lock().strikes.insert(n, strike);
    }

    /// How many calls there were.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().calls.len()
    }

    /// The names of all calls, in order: the n-th is at `n - 1`.
    #[must_use]
    pub fn calls(&self) -> Vec<&'static str> {
        self.lock().calls.clone()
    }

    /// Forgets the calls and the strikes.
    pub fn reset(&self) {
        *self.lock() = State::default();
    }

    /// Waits until a call hangs: the moment to drop the engine, as a crash would.
    pub async fn hung(&self) {
        let mut hung = self.0.hung.subscribe();
        // The sender lives as long as this plan does.
        let _ = hung.wait_for(|count| *count > 0).await;
    }

    /// A part whose calls are counted, and struck by this plan.
    #[must_use]
    pub fn wrap<T: ?Sized>(&self, part: Arc<T>) -> Faulty<T> {
        Faulty {
            part,
            plan: self.clone(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One call of a part, with whatever the plan has for it.
    async fn call<T, E: Struck>(
        &self,
        name: &'static str,
        work: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<T, E> {
        let strike = {
            let mut state = self.lock();
            state.calls.push(name);
            let n = state.calls.len();
            state.strikes.get(&n).copied()
        };
        match strike {
            None => work.await,
            Some(Strike::Before) => Err(E::struck(name)),
            Some(Strike::After) => {
                work.await?;
                Err(E::struck(name))
            }
            Some(Strike::HangBefore) => self.hang().await,
            Some(Strike::HangAfter) => {
                let _ = work.await;
                self.hang().await
            }
            Some(Strike::Delay(pause)) => {
                tokio::time::sleep(pause).await;
                work.await
            }
        }
    }

    async fn hang<T>(&self) -> T {
        self.0.hung.send_modify(|count| *count += 1);
        std::future::pending().await
    }
}

/// A part of the engine whose calls can be struck: see [`FaultPlan::wrap`]. It is
/// whatever the part is: a store, a source provider, a builder, an executor, an ingress.
pub struct Faulty<T: ?Sized> {
    part: Arc<T>,
    plan: FaultPlan,
}

impl<T: ?Sized> Clone for Faulty<T> {
    fn clone(&self) -> Self {
        self.plan.wrap(Arc::clone(&self.part))
    }
}

impl<T: ?Sized> fmt::Debug for Faulty<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faulty")
            .field("plan", &self.plan)
            .finish_non_exhaustive()
    }
}

/// Errors that a strike can give.
trait Struck {
    fn struck(call: &'static str) -> Self;
}

impl Struck for crate::store::StoreError {
    fn struck(call: &'static str) -> Self {
        Self::Unavailable {
            operation: call,
            reason: "struck by a test".to_owned(),
        }
    }
}

impl Struck for crate::error::StepError {
    fn struck(call: &'static str) -> Self {
        crate::error::Fault::retryable(call, "the part under test", "struck by a test").into()
    }
}
