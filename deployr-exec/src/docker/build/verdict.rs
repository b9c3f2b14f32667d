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

/// How a builder says that a step has failed: with the step's own words before it, which may be
/// anything.
const STEP_FAILED: [&str; 3] = [
    "did not complete successfully",
    "executor failed running",
    "returned a non-zero code",
];

/// Whether a build ended with a step that failed, which no other attempt mends.
fn is_step(text: &str) -> bool {
    STEP_FAILED.iter().any(|words| text.contains(words))
}

/// The code that a step has exited with, as the classic builder says it, or BuildKit.
fn exit_code(text: &str) -> Option<u32> {
    let words = ["non-zero code: ", "exit code: "];
    let (_, rest) = words.iter().find_map(|words| text.rsplit_once(words))?;
    let code = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    code.parse().ok()
}

/// Somebody else's trouble, or the Dockerfile's: by the line with which its builder ended.
pub(super) fn of(text: &str) -> StepError {
    let trouble = [
        "dial tcp",
        "i/o timeout",
        "TLS handshake",
        "connection reset",
        ": EOF",
        "unexpected EOF",
    ];
    if is_step(text) {
        return refused(text);
    }
    if text.contains("Cannot connect to the Docker daemon") {
        let reason = format!("Docker went away ({}); start it", text.trim());
        return Fault::retryable("building", "the Dockerfile", reason).into();
    }
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
        _ if is_step(text) && exit_code(text) == Some(137) => VerdictCode::OutOfMemory,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Option<VerdictCode> {
        match of(text) {
            StepError::Verdict(verdict) => Some(verdict.code),
            _ => None,
        }
    }

    #[test]
    fn a_step_that_failed_is_the_dockerfiles_whatever_its_words_are() {
        for text in [
            r#"ERROR: failed to solve: process "/bin/sh -c cat <<EOF >x\nEOF\nfalse" did not complete successfully: exit code: 1"#,
            r#"ERROR: failed to solve: process "/bin/sh -c echo 'Cannot connect to the Docker daemon'; false" did not complete successfully: exit code: 1"#,
            "failed to solve with frontend dockerfile.v0: executor failed running [/bin/sh -c echo dial tcp: EOF; false]: exit code: 1",
            "The command '/bin/sh -c echo exit code: 137: unexpected EOF; exit 2' returned a non-zero code: 2",
            r#"dockerfile parse error on line 3: unterminated heredoc "EOF""#,
        ] {
            assert_eq!(code(text), Some(VerdictCode::BuildFailed), "{text}");
        }
    }

    #[test]
    fn a_step_that_was_killed_wanted_for_memory() {
        for text in [
            "The command '/bin/sh -c node build.js' returned a non-zero code: 137",
            r#"ERROR: failed to solve: process "/bin/sh -c node build.js" did not complete successfully: exit code: 137"#,
            "executor failed running [/bin/sh -c node build.js]: exit code: 137: killed",
        ] {
            assert_eq!(code(text), Some(VerdictCode::OutOfMemory), "{text}");
        }
    }

    #[test]
    fn the_trouble_of_others_is_tried_again() {
        for text in [
            r#"Get "https://registry-1.docker.io/v2/": EOF"#,
            "ERROR: failed to solve: failed to copy: httpReadSeeker: failed open: unexpected EOF",
            "Get https://registry-1.docker.io/v2/: dial tcp: lookup registry-1.docker.io: i/o timeout",
            "ERROR: Cannot connect to the Docker daemon at unix:///x.sock. Is the docker daemon running?",
        ] {
            assert_eq!(code(text), None, "{text}");
        }
    }
}
