use std::sync::Arc;

use super::bench::{Bench, Job, put, recipe, settings};
use crate::builder::{Artifact, ArtifactContent};
use crate::error::StepError;
use crate::testing::RecordedStep;
use crate::testing::suite::{check_list, in_time};
use crate::value::{BuildCommand, OutputDir};

check_list! { Arc<Bench>;
    settings_decide_the_recipe,
    a_plan_shows_every_command,
    a_checkout_that_needs_no_command_is_an_artifact,
    the_same_content_has_the_same_digest_and_other_content_another,
    a_build_that_is_cancelled_before_it_begins_stops,
}

pub(super) fn checks() -> &'static [(&'static str, CheckFn)] {
    CHECKS
}

async fn settings_decide_the_recipe(b: Arc<Bench>) {
    let workspace = b.prepare(&RecordedStep::new()).await;
    let mut wanted = settings();
    wanted.build = Some(BuildCommand::parse("./make-it 'so'").unwrap());
    wanted.output = Some(OutputDir::parse("dist/site").unwrap());
    let recipe = in_time("detect", b.builder.detect(&workspace, &wanted)).await;
    let recipe = recipe.unwrap();
    assert!(recipe.commands.contains(&wanted.build.unwrap()));
    assert_eq!(recipe.output, wanted.output.unwrap());
}

async fn a_plan_shows_every_command(b: Arc<Bench>) {
    let recipe = recipe(&["npm ci", "npm run build"], "out");
    let plan = b.builder.plan(&recipe);
    let shown: Vec<String> = plan.iter().map(ToString::to_string).collect();
    let mut ahead = shown.iter();
    for command in &recipe.commands {
        let found = ahead.any(|line| line.contains(command.as_str()));
        assert!(
            found,
            "`{command}` is not shown, in its place, in {shown:?}"
        );
    }
}

/// A build without commands of a checkout with these files.
async fn plain(b: &Bench, files: &[(&str, &str)]) -> (Job, Artifact) {
    let mut job = b.job(&[]).await;
    job.spec.recipe = recipe(&[], ".");
    for (path, text) in files {
        put(&job.spec.workspace.checkout, path, text);
    }
    let artifact = b.run(&job).await.unwrap();
    (job, artifact)
}

async fn a_checkout_that_needs_no_command_is_an_artifact(b: Arc<Bench>) {
    let files = [("index.html", "<h1>Hi</h1>"), ("a/b.txt", "deep")];
    let (job, artifact) = plain(&b, &files).await;
    for (path, text) in files {
        assert_eq!(b.text(&artifact, path).await, text);
    }
    if let ArtifactContent::Folder(folder) = &artifact.content {
        assert!(folder.starts_with(&job.spec.workspace.path), "{artifact:?}");
        assert_eq!(artifact.bytes, 15, "the size of its files");
    }
    let hex = artifact.digest.strip_prefix("sha256:").unwrap_or_default();
    let well_formed = hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    assert!(well_formed, "{}", artifact.digest);
}

async fn the_same_content_has_the_same_digest_and_other_content_another(b: Arc<Bench>) {
    let base = [("index.html", "one"), ("a/b", "two")];
    let (job, artifact) = plain(&b, &base).await;
    b.clean(&job.spec.workspace).await;
    assert_eq!(plain(&b, &base).await.1.digest, artifact.digest);
    for other in [
        [("index.html", "onE"), ("a/b", "two")],
        [("index.htm", "one"), ("a/b", "two")],
        [("index.html", "one"), ("b", "two")],
        [("index.html", "onet"), ("a/b", "wo")],
    ] {
        let digest = plain(&b, &other).await.1.digest;
        assert_ne!(digest, artifact.digest, "{other:?}");
    }
}

async fn a_build_that_is_cancelled_before_it_begins_stops(b: Arc<Bench>) {
    let job = b.job(&["mkdir out", "touch began"]).await;
    job.step.ctx.cancel.cancel();
    let answer = b.run(&job).await;
    assert!(
        matches!(answer, Err(StepError::Stopped)),
        "must be `Stopped`, not {answer:?}"
    );
    assert!(!job.spec.workspace.checkout.join("began").exists());
}
