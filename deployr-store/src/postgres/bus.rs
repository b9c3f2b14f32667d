//! Hints between nodes, over `LISTEN` and `NOTIFY`.
//!
//! Postgres takes a lock of the whole cluster while a transaction with a notification
//! commits: so none of the store's transactions has one. Hints are gathered, and sent by
//! a task of their own.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use deployr_core::bus::{self, EventBus, Hint, LocalBus};
use deployr_core::store::{StoreError, StoreResult};
use deployr_core::system::{Entropy, SystemEntropy};
use sqlx::Executor;
use sqlx::postgres::{PgListener, PgNotification, PgPool, PgPoolOptions};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::calls;
use super::hints::{self, Hints};
use super::query::execute;

/// Between two sends. The first after a pause waits for nothing.
const GAP: Duration = Duration::from_millis(2);
/// After so long without a word, the server is asked whether it is still there.
const SILENCE: Duration = Duration::from_secs(15);
/// For the answer to that, and for a connection.
const PATIENCE: Duration = Duration::from_secs(5);
/// Before the first try to connect again; doubled for each that follows.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// An [`EventBus`] that reaches all nodes of a [`PgStore`](super::PgStore), by
/// [`PgStore::bus`](super::PgStore::bus).
///
/// It keeps one connection for listening, besides those of the store. When that is lost, it
/// connects again, and tells [`Hint::Missed`] once it can hear. Clones are the same bus,
/// which ends when the last of them is dropped.
#[derive(Clone)]
pub struct PgBus(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    tasks: [JoinHandle<()>; 2],
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

struct Shared {
    /// What notifications of this node are known by.
    node: Uuid,
    channel: String,
    pool: PgPool,
    here: LocalBus,
    unsent: Mutex<Hints>,
    more: Notify,
}

impl PgBus {
    /// Listens before it returns. Must be called on a Tokio runtime, which carries the bus.
    pub(super) async fn open(pool: PgPool, schema: &str) -> StoreResult<Self> {
        let mut node = [0; 16];
        SystemEntropy.fill(&mut node);
        let shared = Arc::new(Shared {
            node: Uuid::from_bytes(node),
            channel: format!("deployr:{schema}"),
            pool,
            here: LocalBus::default(),
            unsent: Mutex::default(),
            more: Notify::new(),
        });
        let listener = shared.listen().await;
        let listener = listener.map_err(|error| StoreError::Unavailable {
            operation: "listen",
            reason: error.to_string(),
        })?;
        let tasks = [
            tokio::spawn(Arc::clone(&shared).hear(listener)),
            tokio::spawn(Arc::clone(&shared).tell()),
        ];
        Ok(Self(Arc::new(Inner { shared, tasks })))
    }
}

impl EventBus for PgBus {
    fn publish(&self, hint: Hint) {
        let shared = &self.0.shared;
        shared.here.publish(hint);
        shared.unsent().add(hint);
        shared.more.notify_one();
    }

    fn subscribe(&self) -> bus::Hints {
        self.0.shared.here.subscribe()
    }
}

impl Shared {
    fn unsent(&self) -> MutexGuard<'_, Hints> {
        self.unsent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn listen(&self) -> sqlx::Result<PgListener> {
        // Not one of the store's own connections, which are few.
        let server = self.pool.connect_options().as_ref().clone();
        let one = PgPoolOptions::new()
            .max_connections(1)
            .max_lifetime(None)
            .idle_timeout(None)
            .acquire_timeout(PATIENCE)
            .connect_lazy_with(server);
        let mut listener = PgListener::connect_with(&one).await?;
        listener.ignore_pool_close_event(true);
        listener.listen(&self.channel).await?;
        Ok(listener)
    }

    /// Tells here what is told elsewhere.
    async fn hear(self: Arc<Self>, mut listener: PgListener) {
        loop {
            while let Some(notification) = next(&mut listener).await {
                for hint in hints::read(notification.payload(), self.node) {
                    self.here.publish(hint);
                }
            }
            let mut wait = FIRST_WAIT;
            listener = loop {
                match self.listen().await {
                    Ok(listener) => break listener,
                    Err(error) => tracing::warn!(%error, "cannot hear hints of other nodes"),
                }
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(LONGEST_WAIT);
            };
            // What was told in between is lost.
            self.here.publish(Hint::Missed);
        }
    }

    /// Tells elsewhere what is told here.
    async fn tell(self: Arc<Self>) {
        let mut wait = FIRST_WAIT;
        loop {
            let hints = std::mem::take(&mut *self.unsent());
            if hints.is_empty() {
                self.more.notified().await;
                continue;
            }
            match self.send(&hints).await {
                Ok(()) => {
                    wait = FIRST_WAIT;
                    tokio::time::sleep(GAP).await;
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot send hints to other nodes");
                    self.unsent().take_back(hints);
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
            }
        }
    }

    async fn send(&self, hints: &Hints) -> StoreResult<()> {
        let channel = self.channel.as_str();
        let payloads = &hints.to_payloads(self.node);
        calls::call(&self.pool, "notify", |db| {
            Box::pin(async move {
                let sql = "SELECT pg_notify($1, payload) FROM unnest($2::text[]) AS new (payload)";
                let statement = sqlx::query(sql).bind(channel).bind(payloads);
                execute(db.get(), statement).await.map(drop)
            })
        })
        .await
    }
}

/// The next notification; none once the connection is lost.
async fn next(listener: &mut PgListener) -> Option<PgNotification> {
    loop {
        match tokio::time::timeout(SILENCE, listener.try_recv()).await {
            Ok(Ok(notification)) => return notification,
            Ok(Err(error)) => {
                tracing::debug!(%error, "the listening connection broke");
                return None;
            }
            // A connection may be dead for long before anybody says so.
            Err(_) => match tokio::time::timeout(PATIENCE, listener.execute("SELECT 1")).await {
                Ok(Ok(_)) => {}
                Ok(Err(_)) | Err(_) => return None,
            },
        }
    }
}

impl fmt::Debug for PgBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgBus").finish_non_exhaustive()
    }
}
