//! Real applications in containers, and the commands that they bring along.

use std::net::SocketAddr;
use std::time::Duration;

use deployr_core::error::{StepResult, VerdictCode};
use deployr_core::executor::{Executor, ReleaseSpec};
use deployr_core::model::Turn;
use deployr_core::testing::RecordedStep;
use deployr_core::value::BuildCommand;
use deployr_exec::docker::DockerExecutor;
use deployr_testkit::docker::Docker;

use crate::apps::{self, Built};
use crate::support::*;

fn release(built: &Built, number: i64) -> ReleaseSpec {
    let mut spec = ReleaseSpec {
        recipe: built.recipe.clone(),
        ..spec(number, SERVER)
    };
    set(&mut spec, "APP_NAME", "the shop");
    within(&mut spec, Duration::from_secs(60));
    spec
}

fn line(text: &str) -> Option<BuildCommand> {
    Some(BuildCommand::parse(text).unwrap())
}

async fn deploy_on(
    executor: &DockerExecutor,
    spec: &ReleaseSpec,
    artifact: &deployr_core::builder::Artifact,
    step: &RecordedStep,
) -> StepResult<SocketAddr> {
    executor.prepare(spec, artifact, &step.ctx).await?;
    let endpoint = executor.start(spec, &step.ctx).await?;
    executor.verify(spec, &endpoint, &step.ctx).await?;
    executor
        .switch(spec, Turn::new(spec.number, 1), &step.ctx)
        .await?;
    Ok(address(&endpoint))
}

#[tokio::test(flavor = "multi_thread")]
async fn laravel_migrates_in_its_new_image_before_it_is_started() {
    let (target, built) = (Target::new(), apps::laravel().await);
    let executor = target.executor.clone().base_image(Docker::shared().php());
    let work = tempfile::tempdir().unwrap();
    let artifact = built.with(work.path(), "app/Http/Home.php", "'1'", "'7'");
    let mut spec = release(built, 1);
    set(
        &mut spec,
        "APP_KEY",
        "base64:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
    );
    set(&mut spec, "DB_DATABASE", "/app/storage/shop.sqlite");
    spec.recipe.on_target.migrate =
        line("touch storage/shop.sqlite && php artisan migrate --force");
    let step = RecordedStep::new();
    let at = deploy_on(&executor, &spec, &artifact, &step).await;
    let said = step.said().await.join("\n");
    let at = at.unwrap_or_else(|error| panic!("{error}\n{said}"));
    assert!(
        said.contains("Migrated:  2026_01_01_000000_create_notes"),
        "{said}"
    );
    assert!(said.contains("Broadcasting queue restart signal"), "{said}");
    assert!(get(at).await.unwrap().contains("7 the shop 1"));
    assert_eq!(
        target.containers(),
        [target.container(1)],
        "commands leave nothing"
    );

    // What the migration of the next one says with its exit code ends that one alone.
    let mut failing = release(built, 2);
    failing.env = spec.env.clone();
    failing.recipe.on_target.migrate = line("echo no such column; exit 3");
    let step = RecordedStep::new();
    let failed = verdict(deploy_on(&executor, &failing, &artifact, &step).await);
    assert_eq!(failed.code, VerdictCode::CommandFailed, "{failed:?}");
    assert!(failed.message.contains("exited 3"), "{failed:?}");
    assert!(step.said().await.contains(&"no such column".to_owned()));
    executor.discard(&spec.slug, 2).await.unwrap();
    assert!(get(at).await.unwrap().contains("7 the shop 1"));
    assert_eq!(executor.current(&spec.slug).await.unwrap(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn next_runs_from_its_standalone_folder_alone() {
    let (target, built) = (Target::new(), apps::next().await);
    let executor = target.executor.clone().base_image(Docker::shared().node());
    let work = tempfile::tempdir().unwrap();
    let artifact = built.with(
        work.path(),
        ".next/server/pages/index.js",
        "version-1",
        "version-7",
    );
    let at = deploy_on(
        &executor,
        &release(built, 1),
        &artifact,
        &RecordedStep::new(),
    )
    .await
    .unwrap();
    assert!(get(at).await.unwrap().contains("version-7 of the shop"));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_attempt_goes_on_with_a_migration_that_one_has_begun() {
    let target = Target::new();
    let files = target.files(&[("index.html", "home")]);
    let mut spec = spec(1, SERVER);
    spec.recipe.shared = vec![deployr_core::value::RelPath::parse("data").unwrap()];
    let migrate = "echo run >>data/runs; until [ -e data/go ]; do sleep 0.05; done; cat data/runs";
    spec.recipe.on_target.migrate = line(migrate);
    let step = RecordedStep::new();
    // As when deployr is killed: nobody waits for it any more.
    let (executor, first, ctx) = (target.executor.clone(), spec.clone(), step.ctx.clone());
    let artifact = files.clone();
    let begun = tokio::spawn(async move { executor.prepare(&first, &artifact, &ctx).await });
    let name = format!(
        "{}-shop-migrate-{}-{}",
        target.wait_for_network().await,
        step.ctx.deployment,
        spec.commit
    );
    let inside = |script: &str| target.docker(&["exec", &name, "sh", "-c", script]);
    let running = || target.containers().contains(&name);
    eventually("the migration", || {
        running() && inside("cat data/runs 2>/dev/null || true") == "run"
    })
    .await;
    begun.abort();
    let _ = begun.await;

    let again = step.next_attempt();
    let second = ReleaseSpec {
        number: 2,
        ..spec.clone()
    };
    let (resumed, ()) = tokio::join!(
        target.executor.prepare(&second, &files, &again.ctx),
        async {
            inside("touch data/go");
        }
    );
    resumed.unwrap();
    assert_eq!(
        again
            .said()
            .await
            .iter()
            .filter(|line| *line == "run")
            .count(),
        1
    );
    assert!(target.containers().iter().all(|left| *left != name));
    // And a third does not begin it anew.
    let third = ReleaseSpec { number: 3, ..spec };
    target
        .executor
        .prepare(&third, &files, &step.next_attempt().ctx)
        .await
        .unwrap();
    let volume = target.docker(&[
        "run",
        "--rm",
        "--volumes-from",
        &{
            let endpoint = target.executor.start(&third, &again.ctx).await.unwrap();
            drop(endpoint);
            target.container(3)
        },
        Docker::shared().busybox(),
        "cat",
        "/app/data/runs",
    ]);
    assert_eq!(volume, "run");
}
