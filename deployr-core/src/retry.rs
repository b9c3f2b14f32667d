//! Trying again: how long to wait, and for how long to go on.

use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::engine::Trouble;
use crate::error::{StepError, StepResult};
use crate::model::JobId;
use crate::store::StoreError;
use crate::system::Entropy;

/// How long a job waits after an attempt that had a fault: the first pause, then twice as
/// long each time up to the longest, each times a random factor from 0.5 to 1.5, so that
/// jobs which failed together do not come back together.
///
/// How often a job is tried at most, it says itself
/// ([`NewJob::max_attempts`](crate::store::NewJob::max_attempts)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The pause after the first attempt.
    pub first: Duration,
    /// No pause is longer, but for the random factor.
    pub longest: Duration,
}

impl Default for RetryPolicy {
    /// 10 s, up to 10 min.
    fn default() -> Self {
        Self {
            first: Duration::from_secs(10),
            longest: Duration::from_secs(600),
        }
    }
}

impl RetryPolicy {
    /// The pause after an attempt, of which the first is 1.
    #[must_use]
    pub fn backoff(&self, attempt: u32, entropy: &dyn Entropy) -> Duration {
        let doublings = attempt.saturating_sub(1).min(31);
        let pause = self.first.saturating_mul(1 << doublings).min(self.longest);
        // Half as long again as a year is no longer a pause.
        let pause = pause.min(Duration::from_secs(365 * 24 * 60 * 60));
        pause.mul_f64(0.5 + unit(entropy))
    }
}

/// The pause of [`RetryPolicy::default`].
#[must_use]
pub fn backoff(attempt: u32, entropy: &dyn Entropy) -> Duration {
    RetryPolicy::default().backoff(attempt, entropy)
}

/// A random number from 0 to 1.
pub(crate) fn unit(entropy: &dyn Entropy) -> f64 {
    let mut random = [0; 4];
    entropy.fill(&mut random);
    f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX)
}

/// The pause after one of that length, before a write is tried again: from 50 ms, doubling
/// to 5 s.
pub(crate) fn longer(pause: Option<Duration>) -> Duration {
    pause.map_or(Duration::from_millis(50), |pause| {
        (pause * 2).min(Duration::from_secs(5))
    })
}

/// Makes a write that must not be lost until the store has taken it or refused it, or
/// the claim under which it is made is gone. Tells of it meanwhile.
pub(crate) async fn until_stored<T, F>(
    lost: &CancellationToken,
    trouble: &Trouble,
    job: JobId,
    write: impl Fn() -> F,
) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut pause = longer(None);
    let mut trouble = trouble.of_write();
    loop {
        let error = tokio::select! {
            biased;
            () = lost.cancelled() => return Err(StoreError::LeaseLost { job }),
            result = write() => match result {
                Err(error) if error.retryable() => error,
                settled => return settled,
            },
        };
        trouble.failed(&error);
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
    /// Invariant: many that fail together come back spread out, never sooner than half a
    /// pause and never later than one and a half.
    #[test]
    fn a_thousand_that_fail_together_do_not_come_back_together() {
        let policy = RetryPolicy {
            first: Duration::from_secs(60),
            longest: Duration::from_secs(60),
        };
        let mut seconds = [0; 91];
        for _ in 0..1_000 {
            let pause = policy.backoff(3, &SystemEntropy);
            seconds[pause.as_secs() as usize] += 1;
        }
        assert_eq!(seconds[..30].iter().sum::<u32>(), 0);
        let most = *seconds.iter().max().unwrap();
        assert!(most < 50, "{most} in one second");
    }

    #[test]
    fn no_policy_and_no_attempt_is_too_much() {
        for pause in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
            for attempt in [0, 1, 2, 31, 32, 33, u32::MAX] {
                let policy = RetryPolicy {
                    first: pause,
                    longest: Duration::MAX,
                };
                let year = Duration::from_secs(366 * 24 * 60 * 60);
                assert!(policy.backoff(attempt, &SystemEntropy) <= year * 2);
            }
        }
    }
}
