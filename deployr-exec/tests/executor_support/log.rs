use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use deployr_core::bus::LocalBus;
use deployr_core::context::StepContext;
use deployr_core::log::{LogLimits, LogLine, LogSink, LogTarget, Redactor};
use deployr_core::model::{Claim, DeploymentId, Fence, JobId, WorkerId};
use deployr_core::store::{Logs, NewLine, StoreResult};
use deployr_core::system::{Clock, SystemClock, SystemEntropy};
use deployr_core::value::TenantId;

/// Keeps what is written to a deployment's log.
#[derive(Default)]
pub(crate) struct Recorder(Mutex<Vec<NewLine>>);

impl Recorder {
    /// A context that writes here, without the given secrets.
    pub(crate) fn context(self: &Arc<Self>, secrets: &[&str]) -> (StepContext, LogSink) {
        let mut ctx = super::context();
        let now = SystemClock.now();
        let target = LogTarget {
            store: Arc::clone(self) as Arc<dyn Logs>,
            bus: Arc::new(LocalBus::default()),
            clock: Arc::new(SystemClock),
            claim: Claim {
                job: JobId::new(now, &SystemEntropy),
                fence: Fence(1),
                worker: WorkerId::new(now, &SystemEntropy),
            },
            deployment: ctx.deployment,
            lost: Default::default(),
        };
        let redactor = Arc::new(Redactor::new(secrets.iter().copied()));
        let sink = LogSink::start(target, 1, redactor, LogLimits::default());
        ctx.log = sink.writer();
        (ctx, sink)
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.0
            .lock()
            .unwrap()
            .iter()
            .map(|line| line.text.clone())
            .collect()
    }
}

#[async_trait]
impl Logs for Recorder {
    async fn append_log(
        &self,
        _: &Claim,
        _: DeploymentId,
        first: i64,
        lines: Vec<NewLine>,
    ) -> StoreResult<i64> {
        let next = first + i64::try_from(lines.len()).unwrap();
        self.0.lock().unwrap().extend(lines);
        Ok(next)
    }

    async fn read_log(
        &self,
        _: &TenantId,
        _: DeploymentId,
        _: i64,
        _: u32,
    ) -> StoreResult<Vec<LogLine>> {
        Ok(Vec::new())
    }

    async fn last_line(&self, _: &TenantId, _: DeploymentId) -> StoreResult<i64> {
        Ok(0)
    }
}
