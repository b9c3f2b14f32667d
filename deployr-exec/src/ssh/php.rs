//! Releases whose PHP the web server of a host runs, and proof that it runs the new one.
//!
//! A process of PHP that was given the path with the link in it remembers for minutes where
//! that led to, and so serves the release before although the link has been replaced. One
//! answer shows this of one process only, so what counts is the path that PHP was given:
//! where the web server has followed the link itself, as nginx does by `$realpath_root`,
//! no process can have the old one.

use std::net::SocketAddr;
use std::time::Duration;

use deployr_core::command::Command;
use deployr_core::context::StepContext;
use deployr_core::error::{Fault, StepError, StepResult};
use deployr_core::executor::ReleaseSpec;
use deployr_core::model::Turn;
use deployr_core::value::RelPath;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, sleep, timeout};

use super::SshExecutor;
use super::host::Host;
use super::job::Job;
use super::script;

/// How long the new release may take to answer after the switch, and again after a reload.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it may take to do so without the reload that there is: what PHP remembers, it
/// remembers for two minutes.
const BEFORE_RELOAD: Duration = Duration::from_millis(500);
const ANSWER: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(50);
/// After a reload: so many answers in a row.
const HITS: usize = 5;

/// How the web servers of a target's hosts run PHP.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Php {
    /// What lets PHP forget the code that it has, as `sudo -n systemctl reload php8.2-fpm`.
    /// Each host runs it after a switch where its web server leaves it to PHP to follow the
    /// link to the release. Requests that PHP works on in that moment are lost, unless its
    /// `process_control_timeout` lets them end.
    pub reload: Option<Command>,
}

/// What one answer shows.
enum Seen {
    /// No process can answer with anything but the new release.
    Proof,
    /// The one that has answered does; it was given this path.
    OneProcess(String),
    Else(String),
}

impl SshExecutor {
    /// The folder that web servers serve of a release; none where it is run by itself.
    pub(super) fn web_root<'a>(&self, spec: &'a ReleaseSpec) -> Option<&'a RelPath> {
        let root = spec.recipe.on_target.web_root.as_ref();
        root.filter(|_| self.php.is_some())
    }
}

/// Whom the web server of a host serves a release for before it is present.
pub(super) fn name_of(spec: &ReleaseSpec) -> String {
    format!("{}-{}.{}.localhost", spec.number, spec.commit, spec.slug)
}

/// The proof of one host, for one switch.
pub(super) struct Proof<'a> {
    pub(super) host: &'a Host,
    pub(super) php: &'a Php,
    pub(super) spec: &'a ReleaseSpec,
    pub(super) root: &'a RelPath,
    pub(super) turn: Turn,
}

impl Proof<'_> {
    /// Puts the script into the release that shows which one it is.
    pub(super) async fn mark(&self) -> StepResult<()> {
        let (number, release) = (self.spec.number.to_string(), self.spec.release.to_string());
        let words = [&number, &release, self.root.as_str(), &self.script()];
        self.ask(script::MARK, &words).await
    }

    pub(super) async fn unmark(&self) -> StepResult<()> {
        let number = self.spec.number.to_string();
        let words = [&number, self.root.as_str(), &self.script()];
        self.ask(script::UNMARK, &words).await
    }

    /// Asks until the new release answers and no other can.
    pub(super) async fn run(&self, ctx: &StepContext) -> StepResult<()> {
        let Some(address) = self.host.session.target().web_server else {
            return Ok(());
        };
        let number = self.spec.number;
        let patience = PATIENCE.min(self.host.session.patience());
        let first = match self.php.reload {
            Some(_) => BEFORE_RELOAD,
            None => patience,
        };
        let path = match self.wait(address, 1, first).await {
            Seen::Proof => {
                let say = format!("{address} answers with release {number}");
                ctx.log.say(say).await;
                return Ok(());
            }
            Seen::OneProcess(path) => Some(path),
            Seen::Else(said) if self.php.reload.is_none() => return Err(self.silent(&said)),
            Seen::Else(_) => None,
        };
        if self.php.reload.is_none() {
            let path = path.unwrap_or_default();
            let reason = format!(
                "the web server gives PHP the path {path}, which leads over a link, so its \
                 processes may go on with the code before. In nginx use $realpath_root instead \
                 of $document_root for SCRIPT_FILENAME, or set php.reload"
            );
            return Err(self.fault(reason));
        }
        self.reload("reload", ctx).await?;
        match self.wait(address, HITS, patience).await {
            Seen::Proof | Seen::OneProcess(_) => {
                let say = format!("{address} answers with release {number}, after a reload");
                ctx.log.say(say).await;
                Ok(())
            }
            Seen::Else(said) => Err(self.silent(&said)),
        }
    }

    /// Runs the target's command, if it has one.
    pub(super) async fn reload(&self, why: &str, ctx: &StepContext) -> StepResult<()> {
        let Some(command) = &self.php.reload else {
            return Ok(());
        };
        let Turn {
            deployment,
            attempt,
        } = self.turn;
        let job = Job {
            host: self.host,
            slug: self.spec.slug.as_str(),
            number: self.spec.number,
            name: format!("{deployment}-{}-{attempt}-{why}", self.spec.number),
            command,
            env: None,
            is_resumed: false,
        };
        match job.run(ctx).await? {
            0 => Ok(()),
            code => {
                let reason = format!("it ended with {code}; its output is in the log");
                Err(Fault::permanent("run", command, reason).into())
            }
        }
    }

    /// What so many answers in a row show; the last of them where they do not in time.
    async fn wait(&self, address: SocketAddr, hits: usize, patience: Duration) -> Seen {
        let (start, mut in_a_row) = (Instant::now(), 0);
        loop {
            let seen = self.look(address).await;
            in_a_row = match seen {
                Seen::Proof => return seen,
                Seen::OneProcess(_) => in_a_row + 1,
                Seen::Else(_) => 0,
            };
            if in_a_row == hits || start.elapsed() > patience {
                return seen;
            }
            if in_a_row == 0 {
                sleep(PAUSE).await;
            }
        }
    }

    async fn look(&self, address: SocketAddr) -> Seen {
        let path = format!("/{}", self.script());
        let host = format!("{}.localhost", self.spec.slug);
        let text = match timeout(ANSWER, get(address, &host, &path)).await {
            Ok(Ok((StatusCode::OK, text))) => text,
            Ok(Ok((status, _))) => return Seen::Else(status.to_string()),
            Ok(Err(error)) => return Seen::Else(error),
            Err(_) => return Seen::Else("no answer in time".to_owned()),
        };
        let mut lines = text.lines();
        let (release, _, given) = (lines.next(), lines.next(), lines.next());
        if release != Some(self.spec.release.to_string().as_str()) {
            return Seen::Else("something else than the release's own script".to_owned());
        }
        let given = given.unwrap_or_default().to_owned();
        let own = format!("/releases/{}-{}/", self.spec.number, self.spec.commit);
        match given.contains(&own) {
            true => Seen::Proof,
            false => Seen::OneProcess(given),
        }
    }

    /// Under a name that nobody guesses, and that no release before has had.
    fn script(&self) -> String {
        format!("deployr-{}.php", self.spec.release)
    }

    async fn ask(&self, script: script::Script, words: &[&str]) -> StepResult<()> {
        let slug = self.spec.slug.as_str();
        self.host.ask(slug, script, words, None).await.map(drop)
    }

    fn silent(&self, said: &str) -> StepError {
        let root = self.root;
        self.fault(format!(
            "asked as {}.localhost it does not answer with the new release but: {said}. It must \
             serve current/{root} and run the PHP files there; docs/laravel.md has the lines",
            self.spec.slug
        ))
    }

    fn fault(&self, reason: String) -> StepError {
        let target = self.host.session.target();
        let of = match target.web_server {
            Some(address) => format!("the web server {address} of {target}"),
            None => target.to_string(),
        };
        Fault::permanent("switch", of, reason).into()
    }
}

async fn get(address: SocketAddr, host: &str, path: &str) -> Result<(StatusCode, String), String> {
    let text = |error: hyper::Error| error.to_string();
    let stream = tokio::net::TcpStream::connect(address).await;
    let stream = stream.map_err(|error| format!("no connection: {error}"))?;
    let request = Request::get(path)
        .header(hyper::header::HOST, host)
        .header(hyper::header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(text)?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(text)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), 64 << 10).collect().await;
        let body = body.map_err(|error| error.to_string())?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    };
    let (answer, _) = tokio::join!(answer, connection);
    answer
}
