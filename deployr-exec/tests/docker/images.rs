//! Releases that are images already, as a Dockerfile makes them.

use deployr_core::builder::ArtifactContent;
use deployr_core::error::{StepError, VerdictCode};
use deployr_core::executor::Executor;
use deployr_core::model::Runtime;
use deployr_core::testing::RecordedStep;

use crate::support::{Target, artifact, get, spec, verdict};

#[tokio::test(flavor = "multi_thread")]
async fn an_image_runs_with_its_own_command_at_its_own_port() {
    let target = Target::new();
    let made = target.docker(&["create", "busybox:test", "true"]);
    let serve = "CMD [\"sh\", \"-c\", \"id -u >index.html; exec httpd -f -p 3000\"]";
    let id = target.docker(&[
        "commit",
        "--change",
        serve,
        "--change",
        "WORKDIR /srv/own",
        "--change",
        "EXPOSE 3000",
        &made,
    ]);
    target.docker(&["rm", &made]);
    let mut app = spec(1, "unused");
    app.recipe.runtime = Runtime::Image;
    let image = artifact(ArtifactContent::Image(id.clone()));
    let at = target.deploy(&app, &image, 1).await.unwrap();
    assert_eq!(at.port(), 3000);
    assert_eq!(get(at).await.as_deref(), Ok("0\n"), "as the image says");
    // It goes with its last release.
    let (_, _) = target.live(2, "two").await;
    target.executor.prune(&target.slug, &[2]).await.unwrap();
    assert!(
        !target
            .docker(&["images", "--all", "--quiet", "--no-trunc"])
            .contains(&id)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_was_removed_is_a_release_that_is_gone() {
    let target = Target::new();
    let (spec, _) = target.live(1, "one").await;
    target.docker(&["rm", "--force", &target.container(1)]);
    target.docker(&["rmi", "--force", &target.image(1)]);
    let step = RecordedStep::new();
    let told = verdict(target.executor.start(&spec, &step.ctx).await);
    assert_eq!(told.code, VerdictCode::ReleaseGone);
    assert!(told.message.contains("deploy its commit again"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_run_is_refused_with_what_to_do() {
    let target = Target::new();
    let files = target.files(&[("a", "")]);
    let app = spec(1, "true");
    let step = RecordedStep::new();

    // Whole: a part of an id could be that of another test's image.
    let id = format!("sha256:{}", "0".repeat(64));
    let image = artifact(ArtifactContent::Image(id));
    let gone = target.executor.prepare(&app, &image, &step.ctx).await;
    assert!(
        matches!(&gone, Err(StepError::Fault(fault)) if fault.retryable),
        "{gone:?}"
    );

    let none = target
        .executor
        .clone()
        .base_image("registry.invalid/none:1");
    let fault = none.prepare(&app, &files, &step.ctx).await.unwrap_err();
    assert!(
        fault.to_string().contains("registry.invalid/none:1"),
        "{fault}"
    );

    let program = "{{.Id}}; exec /no-such-program";
    let at = target.deploy(&spec(1, program), &files, 1).await;
    assert_eq!(verdict(at).code, VerdictCode::StartFailed);
}
