//! A log sink over a store that only keeps lines.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use deployr_core::bus::LocalBus;
use deployr_core::log::{LogLimits, LogLine, LogSink, LogStream, LogTarget, Redactor};
use deployr_core::model::{Claim, DeploymentId, Fence, JobId, WorkerId};
use deployr_core::store::{Logs, NewLine, StoreResult};
use deployr_core::system::{Clock, SystemClock, SystemEntropy};
use deployr_core::value::TenantId;
use tokio_util::sync::CancellationToken;

use crate::chunks;

#[derive(Default)]
pub(crate) struct Shelf(Mutex<Vec<NewLine>>);

impl Shelf {
    /// The lines that come of these writes, the streams' chunks by turns.
    pub(crate) fn fill(
        secrets: &[String],
        writes: &[(LogStream, String)],
        sizes: &[usize],
    ) -> Vec<NewLine> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let shelf = Arc::new(Self::default());
            let (now, entropy) = (SystemClock.now(), &SystemEntropy);
            let target = LogTarget {
                store: shelf.clone(),
                bus: Arc::new(LocalBus::default()),
                clock: Arc::new(SystemClock),
                claim: Claim {
                    job: JobId::new(now, entropy),
                    fence: Fence(1),
                    worker: WorkerId::new(now, entropy),
                },
                deployment: DeploymentId::new(now, entropy),
                lost: CancellationToken::new(),
                trouble: Arc::default(),
            };
            let redactor = Arc::new(Redactor::new(secrets.iter().map(String::as_str)));
            let sink = LogSink::start(target, 1, redactor, LogLimits::default());
            let log = sink.writer();
            let of = |stream| {
                let texts = writes.iter().filter(move |(of, _)| *of == stream);
                texts.map(|(_, text)| text.as_str()).collect::<String>()
            };
            let (out, err) = (of(LogStream::Stdout), of(LogStream::Stderr));
            let (mut out, mut err) = (
                chunks(out.as_bytes(), sizes).into_iter(),
                chunks(err.as_bytes(), sizes).into_iter(),
            );
            loop {
                let (a, b) = (out.next(), err.next());
                if a.is_none() && b.is_none() {
                    break;
                }
                log.write(LogStream::Stdout, a.unwrap_or_default()).await;
                log.write(LogStream::Stderr, b.unwrap_or_default()).await;
            }
            sink.close().await.unwrap();
            std::mem::take(&mut *shelf.0.lock().unwrap())
        })
    }
}

#[async_trait]
impl Logs for Shelf {
    async fn append_log(
        &self,
        _: &Claim,
        _: DeploymentId,
        first: i64,
        lines: Vec<NewLine>,
    ) -> StoreResult<i64> {
        let mut kept = self.0.lock().unwrap();
        assert_eq!(first, kept.len() as i64 + 1);
        kept.extend(lines);
        Ok(kept.len() as i64 + 1)
    }

    async fn read_log(
        &self,
        _: &TenantId,
        _: DeploymentId,
        _: i64,
        _: u32,
    ) -> StoreResult<Vec<LogLine>> {
        unreachable!("a sink does not read")
    }

    async fn last_line(&self, _: &TenantId, _: DeploymentId) -> StoreResult<i64> {
        unreachable!("a sink does not read")
    }
}
