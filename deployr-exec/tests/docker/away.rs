//! The engine goes away, and comes back.

use std::sync::OnceLock;

use deployr_core::error::{Fault, StepError, StepResult};
use deployr_core::executor::Executor;
use deployr_core::testing::RecordedStep;
use deployr_exec::docker::DockerExecutor;
use deployr_testkit::docker::Docker;

use crate::support::{SERVER, Target, get, says, spec};

/// One of its own: the others want theirs to stay.
fn engine() -> &'static Docker {
    static ENGINE: OnceLock<Docker> = OnceLock::new();
    ENGINE.get_or_init(Docker::start)
}

#[track_caller]
fn fault<T: std::fmt::Debug>(answer: StepResult<T>) -> Fault {
    match answer {
        Err(StepError::Fault(fault)) => fault,
        other => panic!("must be a fault, not {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_away_is_named_and_what_serves_comes_back_with_it() {
    let target = Target::on(engine());
    let (live, at) = target.live(1, "old").await;
    let app = spec(2, SERVER);
    let artifact = target.files(&[("index.html", "new")]);
    let step = RecordedStep::new();
    let executor = &target.executor;
    executor.prepare(&app, &artifact, &step.ctx).await.unwrap();

    engine().down("KILL");
    assert_eq!(get(at).await.as_deref(), Ok("old"), "it goes on without");
    for executor in [executor, &target.restarted()] {
        let fault = fault(executor.start(&app, &step.ctx).await);
        assert!(fault.retryable, "{fault}");
        let said = fault.to_string();
        assert!(
            said.contains("docker.sock") && said.contains("start it"),
            "{said}"
        );
    }
    assert_eq!(executor.current(&target.slug).await.unwrap(), Some(1));
    fault(executor.discard(&target.slug, 2).await);
    engine().up();
    says(at, "old").await;

    // In the midst of a verification.
    let mut hangs = spec(3, "exec sleep 600");
    hangs.recipe.health = live.recipe.health.clone();
    let files = target.files(&[("a", "")]);
    executor.prepare(&hangs, &files, &step.ctx).await.unwrap();
    let endpoint = executor.start(&hangs, &step.ctx).await.unwrap();
    let away = tokio::task::spawn_blocking(|| engine().down("TERM"));
    let (answer, away) = tokio::join!(executor.verify(&hangs, &endpoint, &step.ctx), away);
    away.unwrap();
    assert!(answer.is_err(), "{answer:?}");
    engine().up();
    says(at, "old").await;
    executor.discard(&target.slug, 3).await.unwrap();
    let endpoint = executor.start(&app, &step.ctx).await.unwrap();
    executor.verify(&app, &endpoint, &step.ctx).await.unwrap();
    executor.discard(&target.slug, 2).await.unwrap();
    assert_eq!(target.containers(), [target.container(1)]);
}

#[tokio::test]
async fn a_socket_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("none.sock");
    let executor = DockerExecutor::new(folder.path()).socket(&socket);
    let fault = fault(executor.check_engine().await);
    assert!(fault.retryable);
    assert!(
        fault.to_string().contains(socket.to_str().unwrap()),
        "{fault}"
    );
}
