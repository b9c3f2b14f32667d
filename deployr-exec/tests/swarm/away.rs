//! The engine goes away, and comes back.

use std::time::Duration;

use deployr_core::executor::Executor;
use deployr_core::testing::RecordedStep;

use crate::support::{SERVER, Target, deploy, fault, own_engine, says, spec, within};

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_away_is_named_and_what_serves_comes_back_with_it() {
    let target = Target::on(own_engine());
    target.live(1, "older").await;
    let (_, at) = target.live(2, "old").await;
    let executor = &target.executor;
    executor
        .retire(&target.slug, 1, Duration::ZERO)
        .await
        .unwrap();
    let app = spec(3, SERVER);
    let artifact = target.files(&[("index.html", "new")]);
    let step = RecordedStep::new();
    executor.prepare(&app, &artifact, &step.ctx).await.unwrap();
    for signal in ["KILL", "TERM"] {
        own_engine().down(signal);
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
    }
    let (services, two) = (target.services(), target.service(2));
    assert_eq!(
        services,
        [two],
        "the one that was retired does not come back"
    );

    // In the midst of a verification.
    let mut hangs = spec(4, "exec sleep 600");
    within(&mut hangs, Duration::from_secs(60));
    let files = target.files(&[("a", "")]);
    executor.prepare(&hangs, &files, &step.ctx).await.unwrap();
    let endpoint = executor.start(&hangs, &step.ctx).await.unwrap();
    let away = tokio::task::spawn_blocking(|| own_engine().down("KILL"));
    let (answer, away) = tokio::join!(executor.verify(&hangs, &endpoint, &step.ctx), away);
    away.unwrap();
    let fault = fault(answer);
    assert!(
        fault.retryable && fault.to_string().contains("docker.sock"),
        "{fault}"
    );
    assert_eq!(executor.current(&target.slug).await.unwrap(), Some(2));
    own_engine().up();
    says(at, "old").await;
    executor.discard(&target.slug, 4).await.unwrap();
    assert_eq!(target.services(), [target.service(2)]);

    let new = deploy(executor, &app, &artifact, 3).await.unwrap();
    says(new, "new").await;
}
