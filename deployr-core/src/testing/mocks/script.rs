use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{StepError, StepResult};

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a part was asked, and how its next calls shall fail. Shared by its clones.
///
/// ```
/// use deployr_core::error::{StepError, VerdictCode};
/// use deployr_core::testing::ScriptedBuilder;
///
/// let builder = ScriptedBuilder::default();
/// let exited = || StepError::verdict(VerdictCode::BuildFailed, "exited 1");
/// builder.script().fail_next("build", exited());
/// assert!(builder.script().calls().is_empty());
/// ```
#[derive(Debug, Clone, Default)]
pub struct Script(Arc<Mutex<Lines>>);

#[derive(Debug, Default)]
struct Lines {
    calls: Vec<String>,
    failures: HashMap<String, VecDeque<StepError>>,
}

impl Script {
    /// The next call of that name fails so, before it does anything. Each failure
    /// serves one call, in the order in which they were added.
    pub fn fail_next(&self, call: &str, error: StepError) {
        lock(&self.0)
            .failures
            .entry(call.to_owned())
            .or_default()
            .push_back(error);
    }

    /// All calls, in order: the name, and what it was about (`prepare app 7`).
    #[must_use]
    pub fn calls(&self) -> Vec<String> {
        lock(&self.0).calls.clone()
    }

    /// How many calls of that name there were.
    #[must_use]
    pub fn count(&self, call: &str) -> usize {
        let named = |line: &&String| line.split(' ').next() == Some(call);
        lock(&self.0).calls.iter().filter(named).count()
    }

    /// Forgets the calls so far; failures to come stay.
    pub fn clear(&self) {
        lock(&self.0).calls.clear();
    }

    pub(super) fn called(&self, call: &str, about: &str) -> StepResult<()> {
        let mut lines = lock(&self.0);
        lines
            .calls
            .push(format!("{call} {about}").trim_end().to_owned());
        match lines.failures.get_mut(call).and_then(VecDeque::pop_front) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

/// Stops where the context was cancelled.
pub(super) fn go_on(ctx: &crate::context::StepContext) -> StepResult<()> {
    if ctx.cancel.is_cancelled() {
        Err(StepError::Stopped)
    } else {
        Ok(())
    }
}
