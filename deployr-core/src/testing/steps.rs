//! A context to call a step with, which keeps what the step says.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::bus::LocalBus;
use crate::context::StepContext;
use crate::log::{LogLimits, LogLine, LogSink, LogStream, LogTarget, LogWriter, Redactor};
use crate::model::{Claim, DeploymentId, Fence, JobId, WorkerId};
use crate::store::{Logs, NewLine, StoreResult};
use crate::system::{Clock, SystemClock, SystemEntropy};
use crate::value::TenantId;

/// One attempt of one deployment, to call the steps of a part with.
///
/// ```
/// use deployr_core::testing::RecordedStep;
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let step = RecordedStep::default();
/// step.ctx.log.say("hello").await;
/// assert_eq!(step.said().await, ["hello"]);
///
/// let again = step.next_attempt();
/// assert_eq!(again.ctx.deployment, step.ctx.deployment);
/// assert_eq!(again.ctx.attempt, 2);
/// # });
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct RecordedStep {
    /// What the step is given.
    pub ctx: StepContext,
    lines: Arc<Book>,
    redactor: Arc<Redactor>,
    /// Ends when the last writer is gone.
    _sink: LogSink,
}

impl RecordedStep {
    /// The first attempt of a deployment of its own, without secrets. Call it inside a
    /// tokio runtime.
    #[must_use]
    pub fn new() -> Self {
        Self::redacting(&[])
    }

    /// The same, with a log that leaves these secrets out.
    #[must_use]
    pub fn redacting(secrets: &[&str]) -> Self {
        let deployment = DeploymentId::new(SystemClock.now(), &SystemEntropy);
        let redactor = Arc::new(Redactor::new(secrets.iter().copied()));
        Self::attempt(deployment, 1, redactor)
    }

    /// The next attempt of the same deployment: another log, and nothing is cancelled.
    #[must_use]
    pub fn next_attempt(&self) -> Self {
        let redactor = Arc::clone(&self.redactor);
        Self::attempt(self.ctx.deployment, self.ctx.attempt + 1, redactor)
    }

    fn attempt(deployment: DeploymentId, attempt: i64, redactor: Arc<Redactor>) -> Self {
        let (lines, now) = (Arc::new(Book::default()), SystemClock.now());
        let claim = Claim {
            job: JobId::new(now, &SystemEntropy),
            fence: Fence(attempt),
            worker: WorkerId::new(now, &SystemEntropy),
        };
        let target = LogTarget {
            store: Arc::clone(&lines) as Arc<dyn Logs>,
            bus: Arc::new(LocalBus::default()),
            clock: Arc::new(SystemClock),
            claim,
            deployment,
            lost: CancellationToken::new(),
            trouble: Arc::default(),
        };
        let sink = LogSink::start(target, 1, Arc::clone(&redactor), LogLimits::default());
        let log: LogWriter = sink.writer();
        Self {
            ctx: StepContext {
                deployment,
                attempt,
                cancel: CancellationToken::new(),
                handed_over: Default::default(),
                log,
            },
            lines,
            redactor,
            _sink: sink,
        }
    }

    /// All whole lines so far, with where they came from.
    pub async fn lines(&self) -> Vec<(LogStream, String)> {
        self.ctx.log.flush().await;
        let lines = self.lines.lock();
        lines
            .iter()
            .map(|line| (line.stream, line.text.clone()))
            .collect()
    }

    /// The text of all whole lines so far.
    pub async fn said(&self) -> Vec<String> {
        let lines = self.lines().await;
        lines.into_iter().map(|(_, text)| text).collect()
    }
}

impl Default for RecordedStep {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for RecordedStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordedStep")
            .field("deployment", &self.ctx.deployment)
            .field("attempt", &self.ctx.attempt)
            .finish_non_exhaustive()
    }
}

/// The log of one attempt.
#[derive(Default)]
struct Book(Mutex<Vec<NewLine>>);

impl Book {
    fn lock(&self) -> MutexGuard<'_, Vec<NewLine>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Logs for Book {
    async fn append_log(
        &self,
        _: &Claim,
        _: DeploymentId,
        first: i64,
        lines: Vec<NewLine>,
    ) -> StoreResult<i64> {
        let next = first + lines.len() as i64;
        self.lock().extend(lines);
        Ok(next)
    }

    async fn read_log(
        &self,
        _: &TenantId,
        _: DeploymentId,
        _: i64,
        _: u32,
    ) -> StoreResult<Vec<LogLine>> {
        unreachable!("a log sink does not read")
    }

    async fn last_line(&self, _: &TenantId, _: DeploymentId) -> StoreResult<i64> {
        unreachable!("a log sink does not read")
    }
}
