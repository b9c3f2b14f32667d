//! The engine goes away, and comes back.

use std::time::Duration;

use deployr_core::executor::Executor;
use deployr_core::testing::RecordedStep;
use deployr_exec::docker::DockerExecutor;

use crate::support::{SERVER, Target, fault, get, own_engine, says, spec};

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_away_is_named_and_what_serves_comes_back_with_it() {
    let target = Target::on(own_engine());
    target.live(1, "older").await;
    let (live, at) = target.live(2, "old").await;
    target
        .executor
        .retire(&target.slug, 1, Duration::ZERO)
        .await
        .unwrap();
    let app = spec(3, SERVER);
    let artifact = target.files(&[("index.html", "new")]);
    let step = RecordedStep::new();
    let executor = &target.executor;
    executor.prepare(&app, &artifact, &step.ctx).await.unwrap();

    own_engine().down("KILL");
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
    assert_eq!(executor.current(&target.slug).await.unwrap(), Some(2));
    fault(executor.discard(&target.slug, 3).await);
    own_engine().up();
    says(at, "old").await;

    // In the midst of a verification.
    let mut hangs = spec(4, "exec sleep 600");
    hangs.recipe.health = live.recipe.health.clone();
    let files = target.files(&[("a", "")]);
    executor.prepare(&hangs, &files, &step.ctx).await.unwrap();
    let endpoint = executor.start(&hangs, &step.ctx).await.unwrap();
    let away = tokio::task::spawn_blocking(|| own_engine().down("TERM"));
    let (answer, away) = tokio::join!(executor.verify(&hangs, &endpoint, &step.ctx), away);
    away.unwrap();
    assert!(answer.is_err(), "{answer:?}");
    own_engine().up();
    says(at, "old").await;
    executor.discard(&target.slug, 4).await.unwrap();
    let endpoint = executor.start(&app, &step.ctx).await.unwrap();
    executor.verify(&app, &endpoint, &step.ctx).await.unwrap();
    executor.discard(&target.slug, 3).await.unwrap();
    assert_eq!(
        target.containers(),
        [2, 1].map(|number| target.container(number))
    );
    let retired = [
        "inspect",
        "--format",
        "{{.State.Running}}",
        &target.container(1),
    ];
    assert_eq!(target.docker(&retired), "false", "it does not come back");
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
