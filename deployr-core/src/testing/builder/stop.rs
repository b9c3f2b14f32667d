use std::fs::File;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::bench::{Bench, Job};
use crate::error::{StepError, VerdictCode};
use crate::testing::RecordedStep;
use crate::testing::suite::{check_list, eventually, in_time};

check_list! { Arc<Bench>;
    a_build_that_takes_too_long_is_ended_with_all_it_has_started,
    a_cancelled_build_is_ended_with_all_it_has_started,
    what_a_build_has_left_running_ends_with_it,
    prepare_ends_what_an_earlier_attempt_still_runs,
}

pub(super) fn checks() -> &'static [(&'static str, CheckFn)] {
    CHECKS
}

/// Far longer than any check waits.
const LONG: &str = "sleep 600";

/// Holds the pipe called `alive` open in every process that it starts, among them one
/// that does not want to end and one that leaves its group and its session.
fn lingering() -> String {
    format!(
        "mkdir -p out; mkfifo alive; exec 9>alive; (trap '' TERM HUP INT; {LONG}; {LONG}) & \
         (setsid {LONG} || {LONG}) & {LONG} & echo started"
    )
}

/// Told once no process holds the pipe any more.
struct Pipe(oneshot::Receiver<()>);

impl Pipe {
    /// Waits until the build has opened it, and the build until this has.
    async fn of(job: &Job) -> Self {
        let path = job.spec.workspace.checkout.join("alive");
        eventually("the build begins", || path.exists()).await;
        let ((opened, open), (closed, close)) = (oneshot::channel(), oneshot::channel());
        // Not one of the runtime's, which would wait for it where a check fails.
        std::thread::spawn(move || {
            let mut pipe = File::open(path).unwrap();
            let _ = opened.send(());
            pipe.read_to_end(&mut Vec::new()).unwrap();
            let _ = closed.send(());
        });
        in_time("the build opens its pipe", open).await.unwrap();
        Self(close)
    }

    async fn assert_closed(self) {
        let what = "all processes of the build are gone";
        in_time(what, self.0).await.unwrap();
    }
}

async fn a_build_that_takes_too_long_is_ended_with_all_it_has_started(b: Arc<Bench>) {
    let job = b
        .job(&[&format!("{}; wait", lingering()), "touch ran-on"])
        .await;
    let job = job.within(Duration::from_secs(2));
    let build = b.refused(&job, VerdictCode::BuildTimedOut);
    let (_, pipe) = futures::future::join(build, Pipe::of(&job)).await;
    pipe.assert_closed().await;
    assert!(!job.spec.workspace.checkout.join("ran-on").exists());
    b.clean(&job.spec.workspace).await;
}

async fn a_cancelled_build_is_ended_with_all_it_has_started(b: Arc<Bench>) {
    let job = b
        .job(&[&format!("{}; wait", lingering()), "touch ran-on"])
        .await;
    let cancel = async {
        let pipe = Pipe::of(&job).await;
        job.step.ctx.cancel.cancel();
        pipe
    };
    let (answer, pipe) = futures::future::join(b.run(&job), cancel).await;
    assert!(
        matches!(answer, Err(StepError::Stopped)),
        "must be `Stopped`, not {answer:?}"
    );
    pipe.assert_closed().await;
    assert!(!job.spec.workspace.checkout.join("ran-on").exists());
    b.clean(&job.spec.workspace).await;
}

async fn what_a_build_has_left_running_ends_with_it(b: Arc<Bench>) {
    let job = b.job(&[&lingering()]).await;
    let (artifact, pipe) = futures::future::join(b.run(&job), Pipe::of(&job)).await;
    artifact.unwrap();
    pipe.assert_closed().await;
    assert!(job.step.said().await.contains(&"started".to_owned()));
}

/// An engine that has lost its lease and has not noticed.
async fn prepare_ends_what_an_earlier_attempt_still_runs(b: Arc<Bench>) {
    let line = format!("{}; wait", lingering());
    let job = b.job_of(RecordedStep::new(), &[&line]).await;
    let restarted = Bench::new(Arc::clone(&b.harness)).await;
    let replace = async {
        let pipe = Pipe::of(&job).await;
        restarted.prepare(&job.step.next_attempt()).await;
        pipe
    };
    let (answer, pipe) = futures::future::join(b.run(&job), replace).await;
    assert!(answer.is_err(), "it was ended, not {answer:?}");
    pipe.assert_closed().await;
}
