//! Steps that are asked to stop, and that come twice at once.

use deployr_core::builder::Artifact;
use deployr_core::error::StepError;
use deployr_core::executor::Executor;
use deployr_core::model::Turn;
use deployr_core::testing::RecordedStep;

use super::{SERVER, deploy, get, spec};

/// Each step of a release ends when it is asked to, and what it has left is discarded.
pub(crate) async fn stops_when_asked(executor: &dyn Executor, artifact: &Artifact) {
    let app = spec(2, SERVER);
    let (on, step) = (RecordedStep::new(), RecordedStep::new());
    step.ctx.cancel.cancel();
    let stopped = executor.prepare(&app, artifact, &step.ctx).await;
    assert!(matches!(stopped, Err(StepError::Stopped)), "{stopped:?}");
    executor.prepare(&app, artifact, &on.ctx).await.unwrap();
    let stopped = executor.start(&app, &step.ctx).await;
    assert!(matches!(stopped, Err(StepError::Stopped)), "{stopped:?}");
    let endpoint = executor.start(&app, &on.ctx).await.unwrap();
    let stopped = executor.verify(&app, &endpoint, &step.ctx).await;
    assert!(matches!(stopped, Err(StepError::Stopped)), "{stopped:?}");
    let stopped = executor.switch(&app, Turn::new(2, 1), &step.ctx).await;
    assert!(matches!(stopped, Err(StepError::Stopped)), "{stopped:?}");
    executor.discard(&app.slug, 2).await.unwrap();
}

/// Whichever of two workers comes first, the later turn has won. Each artifact says its name.
pub(crate) async fn the_newest_wins(
    [slow, fast]: [&dyn Executor; 2],
    [two, three]: [&Artifact; 2],
) {
    let (second, third) = (spec(2, SERVER), spec(3, SERVER));
    let (_, at) = tokio::join!(
        deploy(slow, &second, two, 2),
        deploy(fast, &third, three, 3)
    );
    assert_eq!(fast.current(&third.slug).await.unwrap(), Some(3));
    assert_eq!(get(at.unwrap()).await.as_deref(), Ok("three"));
}
