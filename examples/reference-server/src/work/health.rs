//! What monitors are told.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use deployr_core::engine::Engine;
use deployr_core::store::QueueStats;
use serde_json::{Value, json};

/// The content of `/healthz`, which is asked for in passing and must not wait.
#[derive(Clone)]
pub(super) struct Health {
    started: Instant,
    queue: Arc<Mutex<std::result::Result<QueueStats, String>>>,
}

impl Health {
    pub(super) fn new() -> Self {
        Self {
            started: Instant::now(),
            queue: Arc::new(Mutex::new(Err("starting".into()))),
        }
    }

    /// Looks at the queue, now and then every second.
    pub(super) async fn keep(self, engine: Engine) {
        self.look(&engine).await;
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                self.look(&engine).await;
            }
        });
    }

    async fn look(&self, engine: &Engine) {
        let stats = match (engine.queue_stats().await, engine.store_trouble()) {
            (Err(error), _) => Err(format!("the store cannot be read: {error}")),
            (_, Some(trouble)) => Err(format!("the store takes no writes: {}", trouble.error)),
            (Ok(stats), None) => Ok(stats),
        };
        *self.queue.lock().unwrap_or_else(PoisonError::into_inner) = stats;
    }

    pub(super) fn answer(&self) -> std::result::Result<Value, Value> {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let (version, uptime) = (env!("CARGO_PKG_VERSION"), self.started.elapsed().as_secs());
        match &*queue {
            Ok(queue) => Ok(json!({
                "status": "ok",
                "version": version,
                "uptime_seconds": uptime,
                "queue": queue,
            })),
            Err(why) => Err(json!({
                "status": "store unavailable",
                "version": version,
                "uptime_seconds": uptime,
                "reason": why,
            })),
        }
    }
}
