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

/// Writes the calls of a part of the store: each goes to it through the plan. What follows
/// `else` is taken over as it is.
macro_rules! forward {
    ($trait:path; $(
        fn $name:ident(&self $(, $arg:ident: $type:ty)* $(,)?) -> $answer:ty;
    )* $(else { $($own:item)* })?) => {
        #[async_trait::async_trait]
        impl<T: $trait + ?Sized> $trait for super::Faulty<T> {
            $(async fn $name(&self $(, $arg: $type)*) -> $answer {
                let call = super::Call::new(super::Part::Store, stringify!($name));
                self.plan.call(call, self.part.$name($($arg),*)).await
            })*
            $($($own)*)?
        }
    };
}

mod parts;
mod plan;
mod spot;
mod store;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use plan::FaultPlan;
pub(in crate::testing) use plan::Onlooker;
pub(in crate::testing) use spot::on_the_spot;

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strike {
    /// It fails before it does anything; the same call may succeed later.
    Before,
    /// It is done, and then fails: the answer was lost.
    After,
    /// It fails before it does anything, and says that trying again is of no use.
    Refuse,
    /// It is done, and then fails, and says that trying again is of no use.
    RefuseAfter,
    /// It never returns and does nothing: the process died before it. Drop the future.
    HangBefore,
    /// It goes as far as it can at once and never returns: the process died within it.
    /// Drop the future.
    HangWithin,
    /// It is done and never returns: the process died after it. Drop the future.
    HangAfter,
    /// It is done after a pause (of tokio's clock).
    Delay(Duration),
    /// The whole process stands still, as a machine does that was suspended: this call
    /// and all that come meanwhile are done after the pause. It claims no more jobs.
    Stall(Duration),
}

/// Which part of the engine a call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::testing) enum Part {
    Store,
    Source,
    Builder,
    Executor,
    Ingress,
    Notifier,
}

/// One call of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::testing) struct Call {
    pub(in crate::testing) part: Part,
    pub(in crate::testing) name: &'static str,
}

impl Call {
    fn new(part: Part, name: &'static str) -> Self {
        Self { part, name }
    }
}

/// A part of the engine whose calls can be struck: see [`FaultPlan::wrap`]. It is
/// whatever the part is: a store, a source provider, a builder, an executor, an ingress,
/// a notifier.
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
    fn struck(call: &'static str, passes: bool) -> Self;
}

impl Struck for crate::store::StoreError {
    fn struck(call: &'static str, passes: bool) -> Self {
        let reason = "struck by a test".to_owned();
        match passes {
            true => Self::Unavailable {
                operation: call,
                reason,
            },
            false => Self::Corrupt {
                what: "a row",
                reason,
            },
        }
    }
}

impl Struck for crate::error::Fault {
    fn struck(call: &'static str, passes: bool) -> Self {
        Self {
            retryable: passes,
            ..Self::retryable(call, "the part under test", "struck by a test")
        }
    }
}

impl Struck for crate::error::StepError {
    fn struck(call: &'static str, passes: bool) -> Self {
        crate::error::Fault::struck(call, passes).into()
    }
}
