//! Finds out whether a release is healthy on a host, or has ended there.

use std::sync::Mutex;
use std::sync::PoisonError;

use deployr_core::context::StepContext;
use deployr_core::error::{Fault, StepError, StepResult, VerdictCode};
use deployr_core::executor::{Endpoint, ReleaseSpec};
use deployr_core::log::LogStream;
use deployr_core::model::Runtime;
use tokio::sync::Notify;

use super::host::Host;
use super::php;
use crate::health::{self, Answer};

/// One verification.
pub(super) struct Verify<'a> {
    host: &'a Host,
    spec: &'a ReleaseSpec,
    endpoint: &'a Endpoint,
    /// Whether the host's web server runs its PHP.
    php: bool,
    /// What ends it before its deadline.
    end: Mutex<Option<StepError>>,
    ended: Notify,
}

impl<'a> Verify<'a> {
    pub(super) fn new(
        host: &'a Host,
        spec: &'a ReleaseSpec,
        endpoint: &'a Endpoint,
        php: bool,
    ) -> Self {
        Self {
            host,
            spec,
            endpoint,
            php,
            end: Mutex::default(),
            ended: Notify::new(),
        }
    }

    pub(super) async fn run(&self, ctx: &StepContext) -> StepResult<()> {
        let number = self.spec.number;
        let found = tokio::select! {
            biased;
            () = ctx.cancel.cancelled() => return Err(StepError::Stopped),
            () = self.ended.notified() => Err(None),
            found = health::wait(&self.spec.recipe.health, || self.probe()) => found.map_err(Some),
        };
        match found {
            Ok(healthy) => {
                // Who answered may have been another process on its port.
                if self.is_process() {
                    self.look_after_it().await;
                }
                if let Some(end) = self.take_end() {
                    return Err(self.explain(end, ctx).await);
                }
                let say = format!("release {number} is healthy: {healthy}");
                ctx.log.say(say).await;
                Ok(())
            }
            Err(None) => {
                let end = self.take_end().unwrap_or(StepError::Stopped);
                Err(self.explain(end, ctx).await)
            }
            Err(Some(unhealthy)) => {
                self.show_output(ctx).await;
                // The verdict has the last.
                for probe in unhealthy.last.iter().rev().skip(1).rev() {
                    ctx.log.say(format!("not healthy {probe}")).await;
                }
                let hint = self.hint();
                let message = format!("release {number} is {unhealthy}. {hint}");
                Err(StepError::verdict(VerdictCode::Unhealthy, message))
            }
        }
    }

    fn is_process(&self) -> bool {
        !self.php && matches!(self.spec.recipe.runtime, Runtime::Process { .. })
    }

    async fn probe(&self) -> Answer {
        let check = &self.spec.recipe.health;
        let answer = match (&check.command, self.endpoint) {
            (Some(line), _) => match self.host.check(self.spec, line).await {
                Ok(code) if code == "0" => Ok("the health command ended with 0".to_owned()),
                Ok(code) => Err(format!("the health command ended with {code}")),
                Err(error) => self.stop_at(error),
            },
            (None, Endpoint::Http { address }) => {
                let host = format!("{}.localhost", self.spec.slug);
                health::http(*address, &host, check).await
            }
            (
                None,
                Endpoint::Served {
                    address: Some(address),
                    ..
                },
            ) if self.php => health::http(*address, &php::name_of(self.spec), check).await,
            (None, Endpoint::Served { .. }) => {
                let single_page = matches!(
                    self.spec.recipe.runtime,
                    Runtime::Static { single_page: true }
                );
                match health::file_path(check) {
                    None => health::file(false, check),
                    Some(path) => match self.host.look(self.spec, &path, single_page).await {
                        Ok(found) => health::file(found, check),
                        Err(error) => self.stop_at(error),
                    },
                }
            }
            (None, _) => Err("the ssh executor cannot ask such an endpoint".to_owned()),
        };
        if answer.is_err() && self.is_process() {
            self.look_after_it().await;
        }
        answer
    }

    /// A host that is away for a moment says nothing of the release; what is permanent, or
    /// a verdict, ends it.
    fn stop_at(&self, error: StepError) -> Answer {
        let text = error.to_string();
        if !matches!(&error, StepError::Fault(fault) if fault.retryable) {
            self.end_with(error);
        }
        Err(text)
    }

    fn end_with(&self, error: StepError) {
        *self.end.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        self.ended.notify_one();
    }

    fn take_end(&self) -> Option<StepError> {
        self.end
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// Ends it where the process has.
    async fn look_after_it(&self) {
        match self.host.state(self.spec).await {
            Ok((state, _)) if state == "up" => {}
            Ok((state, _)) => {
                let message = format!(
                    "the process of release {} {state} before it was healthy; its last output is \
                     in the deployment's log. The start command must stay in the foreground",
                    self.spec.number
                );
                self.end_with(StepError::verdict(VerdictCode::StartFailed, message));
            }
            Err(error) => drop(self.stop_at(error)),
        }
    }

    /// The end, with what was said before it; not the release's fault where another has
    /// its port.
    async fn explain(&self, end: StepError, ctx: &StepContext) -> StepError {
        if !matches!(&end, StepError::Verdict(_)) {
            return end;
        }
        self.show_output(ctx).await;
        match self.endpoint {
            Endpoint::Http { address } if answers(*address).await => {
                let reason = format!(
                    "another process listens on {address}; the next attempt takes another port"
                );
                let release = format!("release {}", self.spec.number);
                Fault::retryable("start", release, reason).into()
            }
            _ => end,
        }
    }

    async fn show_output(&self, ctx: &StepContext) {
        if self.is_process() || self.spec.recipe.health.command.is_some() {
            let said = self.host.state(self.spec).await;
            let (_, output) = said.unwrap_or_default();
            ctx.log.write(LogStream::Stdout, output.as_bytes()).await;
        }
    }

    fn hint(&self) -> String {
        match (&self.spec.recipe.health.command, self.endpoint) {
            (Some(_), _) => "Run the health command by hand in the release's folder".to_owned(),
            (None, Endpoint::Http { address }) => format!(
                "The app must listen on HOST ({}) and the port in PORT ({}), answer GET {}, and \
                 be reachable from here",
                address.ip(),
                address.port(),
                self.spec.recipe.health.path
            ),
            _ if self.php => format!(
                "The web server must serve releases/{}-{}/{} as {}, so that a release can be \
                 asked before it is present; docs/laravel.md has the lines",
                self.spec.number,
                self.spec.commit,
                self.spec
                    .recipe
                    .on_target
                    .web_root
                    .as_ref()
                    .map_or(".", |root| root.as_str()),
                php::name_of(self.spec)
            ),
            _ => "Set the health path to a file of the site, or the output folder to where it is"
                .to_owned(),
        }
    }
}

async fn answers(address: std::net::SocketAddr) -> bool {
    let connect = tokio::net::TcpStream::connect(address);
    let limit = std::time::Duration::from_secs(1);
    matches!(tokio::time::timeout(limit, connect).await, Ok(Ok(_)))
}
