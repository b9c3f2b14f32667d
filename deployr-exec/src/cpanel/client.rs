//! The account's API over HTTPS.

use std::path::Path;
use std::time::Duration;

use chrono::DateTime;
use deployr_core::error::{Fault, StepError, StepResult};
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderValue};
use reqwest::{Body, Certificate, Client as Http, RequestBuilder, Response, StatusCode, redirect};
use secrecy::ExposeSecret;
use serde_json::Value;
use tokio::sync::{OnceCell, Semaphore};

use super::call::Call;
use super::target::CpanelTarget;

/// How often a call is made in all when its answer is lost. Each may be made again.
pub(super) const TRIES: usize = 3;
/// How many may be under way: hosts count the processes of an account.
const AT_ONCE: usize = 4;
/// An answer has not more than this.
const LONGEST: usize = 8 << 20;
/// Bytes a second that an upload makes at least.
const SLOWEST: u64 = 32 << 10;
const USER_AGENT: &str = concat!("deployr/", env!("CARGO_PKG_VERSION"));

/// Why a call did not do what it should.
#[derive(Debug)]
pub(super) enum Failed {
    /// The host has said no.
    Refused(String),
    /// The answer was lost; what it did is not known.
    Lost(Fault),
    /// Anything else.
    For(StepError),
}

/// What was answered, and when by the host's clock, in seconds since 1970.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) data: Value,
    pub(super) time: Option<i64>,
}

#[derive(Debug)]
pub(super) struct Client {
    target: CpanelTarget,
    patience: Duration,
    http: OnceCell<Http>,
    pub(super) home: OnceCell<String>,
    places: Semaphore,
}

impl Client {
    pub(super) fn new(target: CpanelTarget, patience: Duration) -> Self {
        Self {
            target,
            patience,
            http: OnceCell::new(),
            home: OnceCell::new(),
            places: Semaphore::new(AT_ONCE),
        }
    }

    pub(super) fn target(&self) -> &CpanelTarget {
        &self.target
    }

    /// Makes a call that may be made again.
    pub(super) async fn call(&self, call: &Call) -> StepResult<Value> {
        let answer = self.ask(call).await;
        answer
            .map(|answer| answer.data)
            .map_err(|failed| self.explain(call, failed))
    }

    /// The same, where a refusal is an answer.
    pub(super) async fn ask(&self, call: &Call) -> Result<Answer, Failed> {
        let mut lost = None;
        for _ in 0..TRIES {
            match self.once(call).await {
                Err(Failed::Lost(fault)) => lost = Some(fault),
                other => return other,
            }
        }
        let fault = lost.unwrap_or_else(|| Fault::retryable("reach", &self.target, "no try"));
        Err(Failed::Lost(fault))
    }

    /// The same without trying again.
    pub(super) async fn once(&self, call: &Call) -> Result<Answer, Failed> {
        let body = call.body(&self.target.user);
        let request = self.post(&call.path()).await?;
        let request = request
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .timeout(self.patience)
            .body(body);
        self.send(call, request).await
    }

    /// A call whose body is a stream of so many bytes: an upload.
    pub(super) async fn upload(
        &self,
        call: &Call,
        content_type: &str,
        length: u64,
        body: Body,
    ) -> Result<Answer, Failed> {
        let request = self.post(&call.path()).await?;
        let slowest = Duration::from_secs(length / SLOWEST);
        let request = request
            .timeout(self.patience + slowest)
            .header(CONTENT_TYPE, content_type)
            .header(CONTENT_LENGTH, length)
            .body(body);
        self.send(call, request).await
    }

    async fn send(&self, call: &Call, request: RequestBuilder) -> Result<Answer, Failed> {
        let place = self.places.acquire().await;
        let _place = place
            .map_err(|error| Failed::For(Fault::permanent("reach", &self.target, error).into()))?;
        let response = request.send().await.map_err(|error| self.lost(error))?;
        let status = response.status();
        let time = time_of(&response);
        let text = self.read(response).await?;
        if let Some(fault) = self.judge(status, &text) {
            return Err(fault);
        }
        let Ok(answer) = serde_json::from_slice::<Value>(&text) else {
            return Err(self.no_answer(&text));
        };
        let data = call.read(&answer).map_err(Failed::Refused)?;
        Ok(Answer { data, time })
    }

    async fn read(&self, mut response: Response) -> Result<Vec<u8>, Failed> {
        let mut text = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.lost(error))? {
            if text.len() + chunk.len() > LONGEST {
                let reason = "its answer is longer than any of cPanel's; see whether `host` and \
                              `port` are those of cPanel";
                return Err(Failed::For(
                    Fault::permanent("reach", &self.target, reason).into(),
                ));
            }
            text.extend_from_slice(&chunk);
        }
        Ok(text)
    }

    fn judge(&self, status: StatusCode, text: &[u8]) -> Option<Failed> {
        let permanent = |reason: &str| {
            Some(Failed::For(
                Fault::permanent("log in", &self.target, reason).into(),
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
                    format!("it answered {status}; see whether cPanel is well, then deploy again");
                Some(Failed::Lost(Fault::retryable(
                    "reach",
                    &self.target,
                    reason,
                )))
            }
            // Some errors of functions come with a status of their own.
            _ if serde_json::from_slice::<Value>(text).is_ok() => None,
            _ => permanent("it knows no such address; set `port` to 2083, where cPanel has TLS"),
        }
    }

    /// Pages that log in, and those of proxies that are in the way.
    fn no_answer(&self, text: &[u8]) -> Failed {
        let is_page = text.trim_ascii_start().starts_with(b"<");
        let fault = if is_page {
            let reason = "it answered with a page instead of data, as where the token was not \
                          taken or `port` is not cPanel's; see Manage API Tokens in cPanel";
            Fault::permanent("log in", &self.target, reason)
        } else {
            let reason = "its answer is no JSON, or was cut off; deploy again";
            return Failed::Lost(Fault::retryable("reach", &self.target, reason));
        };
        Failed::For(fault.into())
    }

    fn lost(&self, error: reqwest::Error) -> Failed {
        let error = error.without_url();
        let chain = chain(&error);
        let reason = if error.is_timeout() {
            let seconds = self.patience.as_secs_f32();
            format!(
                "it did not answer within {seconds} s; see whether the host is well, then deploy again"
            )
        } else if chain.contains("certificate") {
            let reason = format!(
                "its certificate is not believed ({chain}); set `host` to the name that is in it, \
                 or `certificate` to the file of the authority that made it"
            );
            return Failed::For(Fault::permanent("reach", &self.target, reason).into());
        } else if error.is_connect() {
            format!(
                "no connection ({chain}); see whether `host` is right and port {} is open to this \
                 machine: some hosts open it to known addresses only",
                self.target.port
            )
        } else {
            format!(
                "the connection was lost ({chain}); see whether the host is well, then deploy again"
            )
        };
        Failed::Lost(Fault::retryable("reach", &self.target, reason))
    }

    /// What a failure means for a step.
    pub(super) fn explain(&self, call: &Call, failed: Failed) -> StepError {
        match failed {
            Failed::For(error) => error,
            Failed::Lost(fault) => fault.into(),
            Failed::Refused(said) => match advice(&said) {
                Some(advice) => {
                    let reason = format!("{call}: {said}; {advice}");
                    Fault::permanent("call", &self.target, reason).into()
                }
                None => Fault::retryable("call", &self.target, format!("{call}: {said}")).into(),
            },
        }
    }

    async fn post(&self, path: &str) -> Result<RequestBuilder, Failed> {
        let failed = |fault: Fault| Failed::For(fault.into());
        let token = self.target.token.read().map_err(failed)?;
        let value = format!("cpanel {}:{}", self.target.user, token.expose_secret());
        let mut value = HeaderValue::try_from(value)
            .map_err(|_| failed(Fault::permanent("use", "the token", "it cannot be sent")))?;
        value.set_sensitive(true);
        let http = self
            .http
            .get_or_try_init(|| async {
                http(self.target.certificate.as_deref(), |builder| builder)
            })
            .await
            .map_err(failed)?;
        let url = format!(
            "https://{}:{}{path}",
            bracketed(&self.target.host),
            self.target.port
        );
        Ok(http.post(url).header(AUTHORIZATION, value))
    }
}

/// A client that believes what the system does, and the authority of that file.
pub(super) fn http(
    certificate: Option<&Path>,
    with: impl FnOnce(reqwest::ClientBuilder) -> reqwest::ClientBuilder,
) -> Result<Http, Fault> {
    let mut builder = Http::builder()
        .user_agent(USER_AGENT)
        .no_proxy()
        .referer(false)
        .connect_timeout(Duration::from_secs(20))
        .redirect(redirect::Policy::none());
    if let Some(path) = certificate {
        let text = std::fs::read(path).map_err(|error| Fault::io("read", path.display(), error))?;
        let more = Certificate::from_pem_bundle(&text)
            .map_err(|error| Fault::permanent("read", path.display(), chain(&error)))?;
        builder = builder.tls_certs_merge(more);
    }
    with(builder)
        .build()
        .map_err(|error| Fault::permanent("set up", "TLS", chain(&error)))
}

fn bracketed(host: &str) -> String {
    match host.contains(':') {
        true => format!("[{host}]"),
        false => host.to_owned(),
    }
}

fn time_of(response: &Response) -> Option<i64> {
    let date = response.headers().get(DATE)?.to_str().ok()?;
    let date = DateTime::parse_from_rfc2822(date).ok()?;
    Some(date.timestamp())
}

pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    text
}

/// What to do about the refusals of a host that do not pass by themselves.
pub(super) fn advice(said: &str) -> Option<&'static str> {
    let said = said.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if has(&["quota", "no space left", "disk space", "disk full"]) {
        Some("the account has no room left: free some, or have its quota raised, and deploy again")
    } else if has(&[
        "maximum",
        "limit",
        "too many",
        "not allowed to create",
        "larger than",
    ]) {
        Some(
            "a limit of the account: remove what is not needed, or have it raised, and deploy again",
        )
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
