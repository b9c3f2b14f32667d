//! What the suites share: a check fails by panicking, and the next one runs all the same.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;

/// Runs a check; what is wrong, where it panicked.
pub(super) async fn outcome<T>(check: impl Future<Output = T>) -> Result<T, String> {
    AssertUnwindSafe(check)
        .catch_unwind()
        .await
        .map_err(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            text.or(panic.downcast_ref::<&str>().copied())
                .unwrap_or("panicked")
                .to_owned()
        })
}

/// Panics with all that failed.
pub(super) fn tell(failed: &[String]) {
    assert!(
        failed.is_empty(),
        "{} checks failed:\n\n{}",
        failed.len(),
        failed.join("\n\n")
    );
}

/// Lists functions of a bench as pairs of name and function.
macro_rules! check_list {
    ($bench:ty; $($name:ident,)*) => {
        type CheckFn = fn($bench) -> futures::future::BoxFuture<'static, ()>;

        const CHECKS: &[(&str, CheckFn)] =
            &[$((stringify!($name), |bench| Box::pin($name(bench))),)*];
    };
}
pub(super) use check_list;

/// How long a check waits for what must come about. Far longer than it takes.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// The answer of a call that must end by itself.
pub(super) async fn in_time<T>(what: &str, call: impl Future<Output = T>) -> T {
    let answer = tokio::time::timeout(PATIENCE, call).await;
    answer.unwrap_or_else(|_| panic!("{what}: no end after {PATIENCE:?}"))
}

/// Waits until something holds.
pub(super) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    in_time(what, wait).await;
}
