//! How long calls take, for whoever watches.

use std::time::Instant;

use deployr_core::store::{StoreError, StoreResult};
use metrics::{counter, histogram};

/// Measures a call. What the store refuses is no error of its own.
pub(crate) async fn timed<T>(
    call: &'static str,
    work: impl Future<Output = StoreResult<T>>,
) -> StoreResult<T> {
    let began = Instant::now();
    let done = work.await;
    histogram!("deployr_store_seconds", "call" => call).record(began.elapsed());
    if let Err(
        StoreError::Unavailable { .. } | StoreError::Full { .. } | StoreError::Corrupt { .. },
    ) = done
    {
        counter!("deployr_store_errors_total", "call" => call).increment(1);
    }
    done
}
