//! Trying again: how long to wait, and for how long to go on.

use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::error::{StepError, StepResult};
use crate::model::JobId;
use crate::store::StoreError;
use crate::system::Entropy;

/// The pause before attempt `attempt + 1` of a job: 10 s doubling to 10 min, times a
/// random factor from 0.5 to 1.5, so that jobs which failed together do not come back
/// together.
#[must_use]
pub fn backoff(attempt: u32, entropy: &dyn Entropy) -> Duration {
    let base = 10f64 * 2f64.powi(attempt.saturating_sub(1).min(16) as i32);
    let mut random = [0; 4];
    entropy.fill(&mut random);
    let factor = 0.5 + f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX);
    Duration::from_secs_f64(base.min(600.0) * factor)
}

/// The pause after one of that length, before a write is tried again: from 50 ms, doubling
/// to 5 s.
pub(crate) fn longer(pause: Option<Duration>) -> Duration {
    pause.map_or(Duration::from_millis(50), |pause| {
        (pause * 2).min(Duration::from_secs(5))
    })
}

/// Makes a write that must not be lost until the store has taken it or refused it, or
/// the claim under which it is made is gone.
pub(crate) async fn until_stored<T, F>(
    lost: &CancellationToken,
    job: JobId,
    write: impl Fn() -> F,
) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut pause = longer(None);
    loop {
        let error = tokio::select! {
            biased;
            () = lost.cancelled() => return Err(StoreError::LeaseLost { job }),
            result = write() => match result {
                Err(error) if error.retryable() => error,
                settled => return settled,
            },
        };
        tracing::warn!(%job, %error, "the store did not take a write; trying again");
        tokio::select! {
            biased;
            () = lost.cancelled() => return Err(StoreError::LeaseLost { job }),
            () = tokio::time::sleep(pause) => pause = longer(Some(pause)),
        }
    }
}

/// Makes a call that can be made again, up to three times within two seconds: for what
/// nobody would see to later, so that it does not stay undone for one mishap.
pub(crate) async fn thrice<T, F>(lost: &CancellationToken, call: impl Fn() -> F) -> StepResult<T>
where
    F: Future<Output = StepResult<T>>,
{
    for pause in [Duration::from_millis(200), Duration::from_secs(1)] {
        match call().await {
            Err(StepError::Fault(fault)) if fault.retryable && !lost.is_cancelled() => {
                // Not in its words: they may quote a secret.
                tracing::warn!(operation = fault.operation, "a call failed; trying again");
            }
            settled => return settled,
        }
        tokio::time::sleep(pause).await;
    }
    call().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::SystemEntropy;

    #[test]
    fn backoff_grows_to_its_limit_and_differs() {
        let pauses: Vec<_> = (0..100).map(|_| backoff(40, &SystemEntropy)).collect();
        assert!(
            pauses
                .iter()
                .all(|p| (300.0..=900.0).contains(&p.as_secs_f64()))
        );
        assert!(pauses.iter().any(|p| *p != pauses[0]));
        assert!(backoff(1, &SystemEntropy) <= Duration::from_secs(15));
    }
}
