//! What the suites share: a check fails by panicking, and the next one runs all the same.

use std::panic::AssertUnwindSafe;

use futures::FutureExt;

/// Runs a check; what is wrong, where it panicked.
pub(super) async fn outcome(check: impl Future<Output = ()>) -> Result<(), String> {
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
