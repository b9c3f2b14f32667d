//! The account's API over HTTPS.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use deployr_core::error::{Fault, StepError, StepResult};
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use reqwest::{Body, Client as Http, RequestBuilder, Response};
use secrecy::ExposeSecret;
use serde_json::Value;
use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::call::Call;
use super::connection::{bracketed, http, time_of};
use super::target::CpanelTarget;

/// How often a call is made in all when its answer is lost. Each may be made again.
pub(super) const TRIES: usize = 3;
/// How many may be under way: hosts count the processes of an account.
const AT_ONCE: usize = 4;
/// An answer has not more than this.
const LONGEST: usize = 8 << 20;
/// Bytes a second that an upload makes at least.
const SLOWEST: u64 = 32 << 10;

/// Why a call did not do what it should.
#[derive(Debug)]
pub(super) enum Failed {
    /// The host has said no.
    Refused(String),
    /// It did not get there, the host could not do it just then, or what it said is no answer.
    Lost(Fault),
    /// It got there, and no answer came back: in time, whole, or by whoever stands before the host.
    /// What it did is not known, and the host may carry it out yet.
    Silent(Fault),
    /// Anything else.
    For(StepError),
}

/// What was answered, and when by the host's clock, in seconds since 1970.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) data: Value,
    pub(super) time: Option<i64>,
}

/// Cheap to clone; clones share their connections.
#[derive(Debug, Clone)]
pub(super) struct Client {
    host: Arc<Host>,
    limit: Option<Limit>,
}

#[derive(Debug)]
struct Host {
    target: CpanelTarget,
    patience: Duration,
    http: OnceCell<Http>,
    home: OnceCell<String>,
    places: Semaphore,
}

/// What holds for calls under a lock.
#[derive(Debug, Clone)]
struct Limit {
    until: Instant,
    /// Whether a call that changes something got no answer: the host may carry it out yet.
    unsettled: Arc<AtomicBool>,
}

impl Client {
    pub(super) fn new(target: CpanelTarget, patience: Duration) -> Self {
        let host = Host {
            target,
            patience,
            http: OnceCell::new(),
            home: OnceCell::new(),
            places: Semaphore::new(AT_ONCE),
        };
        Self {
            host: Arc::new(host),
            limit: None,
        }
    }

    /// The same for calls under a lock: none is begun or waited for after `until`, and none
    /// that changes something is made again where no answer comes back.
    pub(super) fn until(&self, until: Instant) -> Self {
        let limit = Limit {
            until,
            unsettled: Arc::default(),
        };
        Self {
            limit: Some(limit),
            ..self.clone()
        }
    }

    /// Under a lock: whether the host may still carry out a call that it has not answered.
    pub(super) fn is_unsettled(&self) -> bool {
        let mut limits = self.limit.iter();
        limits.any(|limit| limit.unsettled.load(Ordering::Relaxed))
    }

    /// Says so, or as it was before a call of which it is known now what became of it.
    pub(super) fn set_unsettled(&self, unsettled: bool) {
        if let Some(limit) = &self.limit {
            limit.unsettled.store(unsettled, Ordering::Relaxed);
        }
    }

    pub(super) fn target(&self) -> &CpanelTarget {
        &self.host.target
    }

    /// How long the host may take to answer.
    pub(super) fn patience(&self) -> Duration {
        self.host.patience
    }

    pub(super) fn home_cell(&self) -> &OnceCell<String> {
        &self.host.home
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
        let mut tried = 1;
        loop {
            match self.once(call).await {
                Err(Failed::Lost(_)) if tried < TRIES => tried += 1,
                Err(Failed::Silent(_)) if tried < TRIES && self.may_repeat(call) => tried += 1,
                other => return other,
            }
        }
    }

    /// Under a lock, what changes something is not asked for again while the first call may
    /// still be carried out.
    fn may_repeat(&self, call: &Call) -> bool {
        self.limit.is_none() || !call.changes()
    }

    /// Makes a call that changes something. Where no answer comes, `is_done` tells whether it
    /// was carried out.
    pub(super) async fn change(
        &self,
        call: &Call,
        is_done: impl Future<Output = StepResult<bool>>,
    ) -> Result<(), Failed> {
        let before = self.is_unsettled();
        let failed = match self.ask(call).await {
            Err(failed @ (Failed::Lost(_) | Failed::Silent(_))) => failed,
            other => return other.map(drop),
        };
        match is_done.await.map_err(Failed::For)? {
            true => {
                self.set_unsettled(before);
                Ok(())
            }
            false => Err(failed),
        }
    }

    /// The same without trying again.
    pub(super) async fn once(&self, call: &Call) -> Result<Answer, Failed> {
        let _place = self.place().await?;
        let body = call.body(&self.target().user);
        let request = self.post(&call.path()).await?;
        let request = request
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .timeout(self.time_left()?)
            .body(body);
        let answer = self.send(call, request).await;
        // That a later call is answered says nothing of an earlier one.
        if call.changes() && matches!(answer, Err(Failed::Silent(_))) {
            self.set_unsettled(true);
        }
        answer
    }

    async fn place(&self) -> Result<SemaphorePermit<'_>, Failed> {
        let place = self.host.places.acquire().await;
        place.map_err(|error| Failed::For(Fault::permanent("reach", self.target(), error).into()))
    }

    fn time_left(&self) -> Result<Duration, Failed> {
        let Some(limit) = &self.limit else {
            return Ok(self.patience());
        };
        let left = limit.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let reason = "it answered so slowly that the lock was held for too long; see whether \
                          the host is well, then try again";
            return Err(Failed::For(
                Fault::retryable("switch", self.target(), reason).into(),
            ));
        }
        Ok(left.min(self.patience()))
    }

    /// A call whose body is a stream of so many bytes: an upload.
    pub(super) async fn upload(
        &self,
        call: &Call,
        content_type: &str,
        length: u64,
        body: Body,
    ) -> Result<Answer, Failed> {
        let _place = self.place().await?;
        let request = self.post(&call.path()).await?;
        let slowest = Duration::from_secs(length / SLOWEST);
        let request = request
            .timeout(self.patience() + slowest)
            .header(CONTENT_TYPE, content_type)
            .header(CONTENT_LENGTH, length)
            .body(body);
        self.send(call, request).await
    }

    async fn send(&self, call: &Call, request: RequestBuilder) -> Result<Answer, Failed> {
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
                    Fault::permanent("reach", self.target(), reason).into(),
                ));
            }
            text.extend_from_slice(&chunk);
        }
        Ok(text)
    }

    async fn post(&self, path: &str) -> Result<RequestBuilder, Failed> {
        let failed = |fault: Fault| Failed::For(fault.into());
        let token = self.target().token.read().map_err(failed)?;
        let value = format!("cpanel {}:{}", self.target().user, token.expose_secret());
        let mut value = HeaderValue::try_from(value)
            .map_err(|_| failed(Fault::permanent("use", "the token", "it cannot be sent")))?;
        value.set_sensitive(true);
        let http = self
            .host
            .http
            .get_or_try_init(|| async {
                http(self.target().certificate.as_deref(), |builder| builder)
            })
            .await
            .map_err(failed)?;
        let url = format!(
            "https://{}:{}{path}",
            bracketed(&self.target().host),
            self.target().port
        );
        Ok(http.post(url).header(AUTHORIZATION, value))
    }
}
