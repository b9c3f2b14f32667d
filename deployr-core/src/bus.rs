//! What tells every node that something changed.

use tokio::sync::broadcast;

use crate::model::DeploymentId;

/// Something changed; look it up. Carries no content, so that losing one loses nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hint {
    /// A job may be ready to be claimed.
    Jobs,
    /// A deployment's row or its log changed.
    Deployment(DeploymentId),
    /// Somebody asked for a running job to stop.
    Cancel,
    /// Hints were lost; look everything up.
    Missed,
}

/// Spreads hints. Whoever waits for something registers first, then looks in the
/// store, then waits for a hint or a poll interval: a hint saves time and nothing else.
///
/// All calls are cheap, do not block, and may be made from anywhere at the same time.
///
/// ```
/// use deployr_core::bus::{EventBus, Hint, LocalBus};
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let bus = LocalBus::default();
/// let mut hints = bus.subscribe();
/// bus.publish(Hint::Jobs);
/// assert_eq!(hints.next().await, Hint::Jobs);
/// # });
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait EventBus: Send + Sync {
    /// Tells all who listen, here and, where the bus reaches them, on other nodes.
    fn publish(&self, hint: Hint);

    /// Everything published from now on.
    fn subscribe(&self) -> Hints;
}

/// The receiving end of an [`EventBus`].
#[derive(Debug)]
pub struct Hints(broadcast::Receiver<Hint>);

impl Hints {
    /// For implementations of [`EventBus`].
    #[must_use]
    pub fn new(receiver: broadcast::Receiver<Hint>) -> Self {
        Self(receiver)
    }

    /// The next hint; [`Hint::Missed`] when this receiver was too slow for some. Waits
    /// for ever once the bus is gone. May be dropped at any time without losing a hint.
    pub async fn next(&mut self) -> Hint {
        match self.0.recv().await {
            Ok(hint) => hint,
            Err(broadcast::error::RecvError::Lagged(_)) => Hint::Missed,
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// The bus of one process.
#[derive(Debug, Clone)]
pub struct LocalBus(broadcast::Sender<Hint>);

impl Default for LocalBus {
    fn default() -> Self {
        Self(broadcast::Sender::new(1_024))
    }
}

impl EventBus for LocalBus {
    fn publish(&self, hint: Hint) {
        // An error only says that nobody listens.
        let _ = self.0.send(hint);
    }

    fn subscribe(&self) -> Hints {
        Hints(self.0.subscribe())
    }
}
