//! How long it takes from `Engine::deploy` until the pipeline has entered its first
//! stage, on an idle engine.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use deployr_core::context::StepContext;
use deployr_core::error::{StepError, StepResult, VerdictCode};
use deployr_core::source::{Commit, Source, SourceProvider};
use deployr_core::value::{CommitId, GitRef, GitUrl};
use tokio::runtime::Runtime;

use super::BENCH;
use super::site::Site;
use crate::Error;
use crate::queue::BareWorker;
use crate::report::{Goal, Row};
use crate::side_by_side::{Case, median};

/// Deployments of a round, and the pause before each.
const SAMPLES: usize = 50;
const IDLE: Duration = Duration::from_millis(5);

pub(super) fn row(runtime: &Runtime) -> Result<Row, Error> {
    let folder = tempfile::tempdir()?;
    let (entered, starts) = channel();
    let url = "https://git.example.com/site.git";
    let site = Site::with_source(runtime, folder.path(), url, Arc::new(Gate(entered)))?;
    let bare = BareWorker::spawn(&folder.path().join("bare.db"))?;
    let case = Case {
        bench: BENCH,
        case: "start".to_owned(),
        unit: "ms",
        goal: Goal::OursAtMost(1.0),
    };
    let row = case.measure(
        || p50(&starts, || site.deploy().map(drop)),
        || p50(&bare.starts, || bare.enqueue()),
    )?;
    site.close();
    Ok(row)
}

/// The median of a round in milliseconds; `begin` may take longer than until the start.
fn p50(starts: &Receiver<Instant>, begin: impl Fn() -> Result<(), Error>) -> Result<f64, Error> {
    let mut samples = Vec::with_capacity(SAMPLES);
    for _ in 0..SAMPLES {
        thread::sleep(IDLE);
        let began = Instant::now();
        begin()?;
        let started = starts.recv_timeout(Duration::from_secs(10))?;
        samples.push(started.duration_since(began).as_secs_f64() * 1e3);
    }
    Ok(median(samples))
}

/// What the first stage calls first: tells that it was called, and ends the deployment.
struct Gate(Sender<Instant>);

#[async_trait]
impl SourceProvider for Gate {
    fn name(&self) -> &str {
        "gate"
    }

    async fn resolve(&self, _: &Source, _: &GitRef, _: &StepContext) -> StepResult<Commit> {
        // Nobody listens any more once the bench is over.
        let _ = self.0.send(Instant::now());
        Err(StepError::verdict(
            VerdictCode::RefNotFound,
            "this far and no further",
        ))
    }

    async fn checkout(
        &self,
        _: &Source,
        commit: &CommitId,
        _: &Path,
        _: &StepContext,
    ) -> StepResult<Commit> {
        let message = format!("there is no commit {commit}");
        Err(StepError::verdict(VerdictCode::RefNotFound, message))
    }

    async fn forget(&self, _: &GitUrl) -> StepResult<()> {
        Ok(())
    }
}
