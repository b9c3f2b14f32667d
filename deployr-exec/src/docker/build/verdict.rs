//! What the end of a build says about the deployment.

use std::time::Duration;

use deployr_core::error::{Fault, StepError, VerdictCode};

use super::BuildLimits;
use crate::docker::objects::wants_login;
use crate::local::build::verdict::shown;

/// What a command's end says.
pub(super) fn failed(line: &str, code: i64, starved: bool, limits: &BuildLimits) -> StepError {
    let line = shown(line);
    if starved {
        let most = limits.memory_bytes.unwrap_or_default() >> 20;
        let message = format!(
            "`{line}` was ended for want of memory (a build may use {most} MiB); make it use \
             less, or raise the builder's `memory_bytes`"
        );
        return StepError::verdict(VerdictCode::OutOfMemory, message);
    }
    let hint = match code {
        126 | 127 => {
            "a program that it needs is not in the builder's image; name one that has it, or add \
             a Dockerfile to the repository"
        }
        _ => "its last lines in the log say why",
    };
    let message = format!("`{line}` exited {code}; {hint}");
    StepError::verdict(VerdictCode::BuildFailed, message)
}

/// Somebody else's trouble, or the Dockerfile's.
pub(super) fn of(text: &str) -> StepError {
    let trouble = [
        "dial tcp",
        "i/o timeout",
        "TLS handshake",
        "connection reset",
        "EOF",
    ];
    if trouble.iter().any(|word| text.contains(word)) {
        let reason = format!("an image could not be fetched: {}", text.trim());
        return Fault::retryable("building", "the Dockerfile", reason).into();
    }
    refused(text)
}

/// What Docker says of a Dockerfile that it could not build.
pub(super) fn refused(text: &str) -> StepError {
    let text = text.trim();
    let code = match text {
        _ if text.contains("no space left on device") => VerdictCode::DiskFull,
        _ if text.contains("non-zero code: 137") => VerdictCode::OutOfMemory,
        _ => VerdictCode::BuildFailed,
    };
    let hint = match code {
        VerdictCode::OutOfMemory => {
            "it was killed, as happens for want of memory: make it use less, or raise the \
             builder's `memory_bytes`"
        }
        VerdictCode::DiskFull => "free some space and deploy again",
        _ if wants_login(text) => {
            "an image wants a login: say under images.logins in deployr.toml as whom it is fetched"
        }
        _ => "its last lines in the log say why",
    };
    StepError::verdict(
        code,
        format!("the Dockerfile was not built: {text}; {hint}"),
    )
}

/// The verdict on a build that took too long.
pub(super) fn timed_out(limit: Duration) -> StepError {
    let message = format!(
        "the build had not ended after {} s, which is as long as it may take; make it faster, or \
         raise `build_timeout_s` of the project",
        limit.as_secs_f64(),
    );
    StepError::verdict(VerdictCode::BuildTimedOut, message)
}
