//! What one fetch must keep to, and how the transport finds it.

use std::cell::RefCell;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use deployr_core::error::{Fault, StepError, StepResult, VerdictCode};
use tokio::runtime::Handle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Session;
use crate::options::GitLimits;

thread_local! {
    /// libgit2 knows transports per process, and calls them on the thread that
    /// fetches: this is how a call finds the fetch that it belongs to.
    static CURRENT: RefCell<Option<Arc<Session>>> = const { RefCell::new(None) };
}

/// Runs `work` with `session` as the one that transports of this thread use.
pub(crate) fn enter<T>(session: &Arc<Session>, work: impl FnOnce() -> T) -> T {
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            CURRENT.with_borrow_mut(Option::take);
        }
    }
    CURRENT.with_borrow_mut(|current| *current = Some(session.clone()));
    let _leave = Leave;
    work()
}

pub(super) fn current() -> Option<Arc<Session>> {
    CURRENT.with_borrow(Clone::clone)
}

/// Looks at the clock, the bytes and the stop button on each read.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) url: String,
    cancel: CancellationToken,
    timeout: Duration,
    deadline: Instant,
    max_bytes: u64,
    received: AtomicU64,
    failure: Mutex<Option<StepError>>,
}

impl Watch {
    pub(crate) fn new(url: &str, limits: &GitLimits, cancel: CancellationToken) -> Self {
        Self {
            url: url.to_owned(),
            cancel,
            timeout: limits.timeout,
            deadline: Instant::now() + limits.timeout,
            max_bytes: limits.max_bytes,
            received: AtomicU64::new(0),
            failure: Mutex::new(None),
        }
    }

    /// Waits for `future`, until cancelled or too late.
    pub(crate) async fn run<T>(&self, future: impl Future<Output = T>) -> StepResult<T> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(StepError::Stopped),
            () = tokio::time::sleep_until(self.deadline) => Err(self.too_late()),
            value = future => Ok(value),
        }
    }

    /// As [`run`](Self::run), on a thread that may block, for libgit2.
    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> io::Result<T> {
        Handle::current()
            .block_on(self.run(future))
            .map_err(|error| self.fail(error))
    }

    /// How much a fetch may receive.
    pub(crate) fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// Takes note of bytes that came in.
    pub(crate) fn count(&self, bytes: usize) -> io::Result<()> {
        let so_far = self.received.fetch_add(bytes as u64, Ordering::Relaxed);
        self.check(so_far.saturating_add(bytes as u64))
    }

    /// How much came in through [`count`](Self::count).
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// For the pauses between reads, while libgit2 works on what it has.
    pub(crate) fn check(&self, received: u64) -> io::Result<()> {
        let error = if self.cancel.is_cancelled() {
            StepError::Stopped
        } else if received > self.max_bytes {
            let message = format!(
                "the repository {} is larger than the {} MiB that one fetch may receive; remove \
                 large files from its history, or raise the limit",
                self.url,
                self.max_bytes >> 20
            );
            StepError::verdict(VerdictCode::TooLarge, message)
        } else if Instant::now() > self.deadline {
            self.too_late()
        } else {
            return Ok(());
        };
        Err(self.fail(error))
    }

    /// Keeps the reason, since libgit2 hands back no more than a text of it.
    pub(crate) fn fail(&self, error: impl Into<StepError>) -> io::Error {
        let error = error.into();
        let text = io::Error::other(error.to_string());
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(error);
        text
    }

    /// The first reason that was kept.
    pub(crate) fn failure(&self) -> Option<StepError> {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    fn too_late(&self) -> StepError {
        let reason = format!(
            "it took longer than the {} s it may take",
            self.timeout.as_secs()
        );
        Fault::retryable("fetch", &self.url, reason).into()
    }
}
