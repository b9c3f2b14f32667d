//! Asks a release until it is healthy, or for long enough.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use deployr_core::command::{Command, PlannedStep};
use deployr_core::model::{HealthCheck, Recipe, Runtime};
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{HOST, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout_at};

/// Before the second probe; doubles until it is the recipe's interval, so that an
/// app that is up at once is live at once.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const KEPT: usize = 5;

/// What a deployment would do to find out, on a target that runs releases as its own processes.
pub(crate) fn planned(recipe: &Recipe) -> PlannedStep {
    let health = &recipe.health;
    let limit = format!("until it is healthy, at most {} ms", health.deadline_ms);
    match (&health.command, &recipe.runtime) {
        (Some(line), _) => PlannedStep::run(format!("run {limit}"), Command::shell(line.as_str())),
        (None, Runtime::Static { .. }) => {
            PlannedStep::new(format!("look for the file of {}", health.path))
        }
        (None, _) => PlannedStep::new(format!("ask for {} {limit}", health.path)),
    }
}

/// What one probe found: healthy or not, in words such as `200 OK`.
pub type Answer = Result<String, String>;

/// One probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// When it was sent, from the first on.
    pub after: Duration,
    /// How long it took.
    pub took: Duration,
    /// What it found.
    pub answer: Answer,
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Ok(text) | Err(text)) = &self.answer;
        let (after, took) = (self.after.as_secs_f64(), self.took.as_millis());
        write!(f, "after {after:.2} s: {text} ({took} ms)")
    }
}

/// It did not become healthy in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unhealthy {
    /// How long was waited.
    pub waited: Duration,
    /// How many probes there were.
    pub probes: usize,
    /// The last five of them, the latest last.
    pub last: Vec<Probe>,
}

impl fmt::Display for Unhealthy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (probes, waited) = (self.probes, self.waited.as_secs_f64());
        write!(f, "not healthy within {waited:.1} s, at {probes} probes")?;
        match self.last.last().map(|probe| &probe.answer) {
            Some(Ok(text) | Err(text)) => write!(f, "; the last: {text}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Unhealthy {}

/// Probes until one finds it healthy, at most until the recipe's deadline. Gives the
/// probe that did.
///
/// # Errors
///
/// The last probes, when none did.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use deployr_core::model::HealthCheck;
/// use deployr_exec::health;
///
/// let mut answers = [Err("503".to_owned()), Ok("200".to_owned())].into_iter();
/// let check = HealthCheck::default();
/// let healthy = health::wait(&check, || std::future::ready(answers.next().unwrap())).await;
/// assert_eq!(healthy.unwrap().answer, Ok("200".to_owned()));
/// # });
/// ```
pub async fn wait<F, A>(check: &HealthCheck, mut probe: F) -> Result<Probe, Unhealthy>
where
    F: FnMut() -> A,
    A: Future<Output = Answer>,
{
    let start = Instant::now();
    let deadline = start + check.deadline();
    let mut pause = FIRST_PAUSE.min(check.interval());
    let (mut probes, mut last) = (0, VecDeque::new());
    loop {
        let sent = Instant::now();
        let limit = deadline.min(sent + check.timeout());
        let answer = timeout_at(limit, probe()).await;
        if answer.is_err() && deadline < sent + check.timeout() && probes > 0 {
            // It was not given its time; what the ones before have found says more.
            return Err(Unhealthy {
                waited: start.elapsed(),
                probes,
                last: last.into(),
            });
        }
        let answer = answer.unwrap_or_else(|_| Err("no answer in time".to_owned()));
        let found = Probe {
            after: sent - start,
            took: sent.elapsed(),
            answer,
        };
        if found.answer.is_ok() {
            return Ok(found);
        }
        probes += 1;
        last.push_back(found);
        if last.len() > KEPT {
            last.pop_front();
        }
        let next = (sent + pause).max(Instant::now());
        if next >= deadline {
            sleep(deadline.saturating_duration_since(Instant::now())).await;
            return Err(Unhealthy {
                waited: start.elapsed(),
                probes,
                last: last.into(),
            });
        }
        tokio::time::sleep_until(next).await;
        pause = (pause * 2).min(check.interval());
    }
}

/// Whether a status is what the recipe wants.
pub(crate) fn judge(status: StatusCode, check: &HealthCheck) -> Answer {
    match check.status {
        Some(wanted) if wanted.get() == status.as_u16() => Ok(status.to_string()),
        Some(wanted) => Err(format!("{status} instead of {wanted}")),
        None if status.is_success() || status.is_redirection() => Ok(status.to_string()),
        None => Err(status.to_string()),
    }
}

/// Asks over HTTP for the recipe's path.
///
/// # Errors
///
/// What was answered instead of the wanted status, or why there was no answer.
pub async fn http(address: SocketAddr, host: &str, check: &HealthCheck) -> Answer {
    let stream = match TcpStream::connect(address).await {
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            return Err(format!("nothing listens on {address}"));
        }
        other => other.map_err(|error| format!("no connection to {address}: {error}"))?,
    };
    let request = Request::get(check.path.as_str())
        .header(HOST, host)
        .header(USER_AGENT, "deployr-health")
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let lost = |error: hyper::Error| format!("no HTTP answer: {error}");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(lost)?;
    let mut answer = pin!(sender.send_request(request));
    let connection = pin!(connection);
    let response = tokio::select! {
        biased;
        response = &mut answer => response.map_err(lost)?,
        end = connection => {
            end.map_err(lost)?;
            // A server that answers and closes at once has done both by now.
            let closed = |_| "the connection was closed without an answer".to_owned();
            answer.await.map_err(closed)?
        }
    };
    judge(response.status(), check)
}

/// Looks for what a file server would give for the recipe's path.
///
/// # Errors
///
/// What is missing.
pub fn folder(root: &Path, single_page: bool, check: &HealthCheck) -> Answer {
    let is_there = |path: String| {
        let wanted = root.join(path);
        wanted.is_file() || wanted.join("index.html").is_file()
    };
    let found =
        file_path(check).is_some_and(is_there) || single_page && root.join("index.html").is_file();
    file(found, check)
}

/// What a file server would look for below its root; nothing that lies outside.
pub(crate) fn file_path(check: &HealthCheck) -> Option<String> {
    let path = check.path.as_str().split('?').next().unwrap_or_default();
    let path = percent_decode_str(path).decode_utf8_lossy();
    let outside = path.split('/').any(|part| part == "..");
    (!outside).then(|| path.trim_start_matches('/').to_owned())
}

/// What a file server would say that has found such a file, or has not.
pub(crate) fn file(found: bool, check: &HealthCheck) -> Answer {
    let status = if found {
        StatusCode::OK
    } else {
        StatusCode::NOT_FOUND
    };
    judge(status, check).map_err(|answer| {
        if found {
            return answer;
        }
        let path = &check.path;
        format!("{answer}: the release has neither a file {path} nor an index.html there")
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use deployr_core::value::{
        HealthDeadline, HealthInterval, HealthPath, HealthStatus, HealthTimeout,
    };

    use super::*;

    fn check(path: &str) -> HealthCheck {
        HealthCheck {
            path: HealthPath::parse(path).unwrap(),
            ..HealthCheck::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_the_deadline_cuts_short_says_nothing() {
        let check = HealthCheck {
            interval_ms: HealthInterval::new(600).unwrap(),
            deadline_ms: HealthDeadline::new(1_000).unwrap(),
            ..check("/")
        };
        let start = Instant::now();
        let unhealthy = wait(&check, || async move {
            if start.elapsed() > Duration::from_millis(100) {
                std::future::pending::<()>().await;
            }
            Err("404".to_owned())
        });
        let unhealthy = unhealthy.await.unwrap_err();
        assert_eq!(unhealthy.waited, Duration::from_secs(1));
        assert!(
            unhealthy.to_string().ends_with("the last: 404"),
            "{unhealthy}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn probes_come_fast_at_first_and_end_at_the_deadline() {
        let check = HealthCheck {
            interval_ms: HealthInterval::new(100).unwrap(),
            deadline_ms: HealthDeadline::new(1_000).unwrap(),
            ..check("/")
        };
        let unhealthy = wait(&check, || async { Err("503".to_owned()) })
            .await
            .unwrap_err();
        assert_eq!(unhealthy.waited, Duration::from_secs(1));
        // 0, 20, 60, 140, 240, 340 ... 940
        assert_eq!(unhealthy.probes, 12);
        assert_eq!(unhealthy.last.len(), 5);
        assert_eq!(unhealthy.last[4].after, Duration::from_millis(940));
        assert!(
            unhealthy.last[4]
                .to_string()
                .contains("after 0.94 s: 503 (0 ms)")
        );
        assert_eq!(
            unhealthy.to_string(),
            "not healthy within 1.0 s, at 12 probes; the last: 503"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_hangs_is_given_up() {
        let check = HealthCheck {
            timeout_ms: HealthTimeout::new(300).unwrap(),
            deadline_ms: HealthDeadline::new(500).unwrap(),
            ..check("/")
        };
        let unhealthy = wait(&check, std::future::pending).await.unwrap_err();
        assert_eq!(unhealthy.waited, Duration::from_millis(500));
        // The next has less than its time before the deadline.
        assert_eq!(unhealthy.probes, 1);
    }

    #[test]
    fn a_folder_is_asked_as_a_file_server_would_be() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("docs")).unwrap();
        fs::write(root.path().join("docs/index.html"), "").unwrap();
        fs::write(root.path().join("é.txt"), "").unwrap();
        let ask = |path: &str, single| folder(root.path(), single, &check(path));
        assert!(ask("/docs", false).is_ok());
        assert!(ask("/docs/?x=1", false).is_ok());
        assert!(ask("/%C3%A9.txt", false).is_ok());
        let missing = ask("/", false).unwrap_err();
        assert!(
            missing.contains("404") && missing.contains("index.html"),
            "{missing}"
        );
        assert!(ask("/app/route", true).is_err(), "no index.html");
        assert!(ask("/docs/../docs/", false).is_err());
        fs::write(root.path().join("index.html"), "").unwrap();
        assert!(ask("/app/route", true).is_ok());
        let wants_404 = HealthCheck {
            status: Some(HealthStatus::new(404).unwrap()),
            ..check("/none")
        };
        assert!(folder(root.path(), false, &wants_404).is_ok());
    }
}
