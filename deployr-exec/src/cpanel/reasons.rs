//! Why a call did not do what it should, and what to do about it.

use deployr_core::error::{Fault, StepError};
use reqwest::StatusCode;
use serde_json::Value;

use super::call::Call;
use super::client::{Client, Failed};
use super::connection::chain;

impl Client {
    pub(super) fn judge(&self, status: StatusCode, text: &[u8]) -> Option<Failed> {
        let permanent = |reason: &str| {
            Some(Failed::For(
                Fault::permanent("log in", self.target(), reason).into(),
            ))
        };
        match status.as_u16() {
            200..=299 => None,
            401 | 403 => permanent(
                "the host does not take the token: it is wrong, was revoked, or has expired, or \
                 `user` is another account; make a new one in cPanel under Manage API Tokens and \
                 put it into the token's file",
            ),
            300..=399 => permanent(
                "it redirects instead of answering, and is not followed with a token; set `host` \
                 to the server's own name and `port` to 2083",
            ),
            413 => Some(Failed::Refused(
                "the upload is larger than the host takes (HTTP 413)".to_owned(),
            )),
            429 | 500.. => {
                let reason =
                    format!("it answered {status}; see whether cPanel is well, then try again");
                let fault = Fault::retryable("reach", self.target(), reason);
                Some(match status.as_u16() {
                    // By what stands before the host, which may still be at it.
                    502..=504 => Failed::Silent(fault),
                    _ => Failed::Lost(fault),
                })
            }
            // Some errors of functions come with a status of their own.
            _ if serde_json::from_slice::<Value>(text).is_ok() => None,
            _ => permanent("it knows no such address; set `port` to 2083, where cPanel has TLS"),
        }
    }

    /// Pages that log in, and those of proxies that are in the way.
    pub(super) fn no_answer(&self, text: &[u8]) -> Failed {
        let is_page = text.trim_ascii_start().starts_with(b"<");
        let fault = if is_page {
            let reason = "it answered with a page instead of data, as where the token was not \
                          taken or `port` is not cPanel's; see Manage API Tokens in cPanel";
            Fault::permanent("log in", self.target(), reason)
        } else {
            let reason = "its answer is no JSON, or was cut off; try again";
            return Failed::Lost(Fault::retryable("reach", self.target(), reason));
        };
        Failed::For(fault.into())
    }

    pub(super) fn lost(&self, error: reqwest::Error) -> Failed {
        let error = error.without_url();
        let chain = chain(&error);
        if error.is_timeout() && !error.is_connect() {
            let seconds = self.patience().as_secs_f32();
            let reason = format!(
                "it did not answer within {seconds} s; see whether the host is well, then try again"
            );
            return Failed::Silent(Fault::retryable("reach", self.target(), reason));
        }
        let reason = if chain.contains("certificate") {
            let reason = format!(
                "its certificate is not believed ({chain}); set `host` to the name that is in it, \
                 or `certificate` to the file of the authority that made it"
            );
            return Failed::For(Fault::permanent("reach", self.target(), reason).into());
        } else if error.is_connect() {
            format!(
                "no connection ({chain}); see whether `host` is right and port {} is open to this \
                 machine: some hosts open it to known addresses only",
                self.target().port
            )
        } else {
            let reason = format!(
                "the connection was lost ({chain}); see whether the host is well, then try again"
            );
            return Failed::Silent(Fault::retryable("reach", self.target(), reason));
        };
        Failed::Lost(Fault::retryable("reach", self.target(), reason))
    }

    /// What a failure means for a step.
    pub(super) fn explain(&self, call: &Call, failed: Failed) -> StepError {
        match failed {
            Failed::For(error) => error,
            Failed::Lost(fault) | Failed::Silent(fault) => fault.into(),
            Failed::Refused(said) => match advice(&said) {
                Some(advice) => {
                    let reason = format!("{call}: {said}; {advice}");
                    Fault::permanent("call", self.target(), reason).into()
                }
                None => Fault::retryable("call", self.target(), format!("{call}: {said}")).into(),
            },
        }
    }
}

/// What to do about the refusals of a host that do not pass by themselves.
pub(super) fn advice(said: &str) -> Option<&'static str> {
    let said = said.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if has(&["quota", "no space left", "disk space", "disk full"]) {
        Some("the account has no room left: free some, or have its quota raised, and try again")
    } else if has(&[
        "maximum",
        "limit",
        "too many",
        "not allowed to create",
        "larger than",
    ]) {
        Some("a limit of the account: remove what is not needed, or have it raised, and try again")
    } else if has(&[
        "feature",
        "disabled",
        "not available",
        "could not find the function",
        "failed to load module",
    ]) {
        Some("the host has disabled this function for the account; ask it to enable it")
    } else if has(&[
        "permission denied",
        "operation not permitted",
        "access denied",
    ]) {
        Some("the account may not do that there; see who owns it in cPanel's File Manager")
    } else if has(&["password", "strength"]) {
        Some("choose another password for the variable, and deploy again")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_told_from_troubles_that_pass() {
        for (said, word) in [
            ("Disk quota exceeded", "no room"),
            (
                "You have reached your maximum allotment of databases",
                "limit",
            ),
            ("You do not have the feature “cron”", "disabled"),
            ("open: Permission denied", "may not"),
        ] {
            assert!(advice(said).unwrap().contains(word), "{said}");
        }
        assert_eq!(advice("the server is busy"), None);
    }
}
