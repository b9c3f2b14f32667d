//! Commands that run on and on beside the present release.

use std::fs;
use std::time::Duration;

use deployr_core::error::VerdictCode;
use deployr_core::executor::{Executor, ReleaseSpec};
use deployr_core::model::{Recipe, Turn};
use deployr_core::value::{BuildCommand, EnvName, EnvValue, Slug, WorkerName};
use deployr_exec::ssh::{Role, SshExecutor};
use deployr_testkit::ssh::Sshd;

use crate::support::*;

/// Notes its release and process when it begins, and its release when it is told to end;
/// the shell around it ends at once, as some do.
const WORKER: &str = "\
    sh -c 'trap \"echo end $DEPLOYR_RELEASE >>../../notes; exit\" TERM; \
    echo begin $DEPLOYR_RELEASE $SAYS ${PORT-none} >>../../notes; echo $$ >../../worker; \
    while :; do sleep 0.05; done'; true";

fn with_worker(mut spec: ReleaseSpec, line: &str) -> ReleaseSpec {
    let name = WorkerName::parse("queue").unwrap();
    let line = BuildCommand::parse(line).unwrap();
    spec.recipe.on_target.workers.insert(name, line);
    let says = EnvValue::parse("hello").unwrap();
    spec.env
        .insert(EnvName::parse("SAYS").unwrap(), says)
        .unwrap();
    spec
}

fn notes(sshd: &Sshd) -> Vec<String> {
    let text = fs::read_to_string(path(sshd, "notes")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// How many processes of the host belong to workers of a release.
fn running(sshd: &Sshd, number: i64) -> usize {
    let mark = format!(
        "DEPLOYR_RUN={}.",
        path(sshd, &format!("run/{number}")).display()
    );
    let of = |pid: &u32| fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let is = |env: Vec<u8>| {
        env.split(|b| *b == 0)
            .any(|one| one.starts_with(mark.as_bytes()))
    };
    let processes = sshd.processes();
    processes.iter().filter(|pid| is(of(pid))).count()
}

async fn noted(sshd: &Sshd, wanted: &[&str]) {
    eventually(&format!("{wanted:?}"), || notes(sshd) == wanted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_comes_back_and_is_replaced_taken_back_and_ended() {
    let lab = Lab::new();
    let sshd = &lab.sshd;
    let artifact = lab.files(&[("index.html", "home")]);
    let release = |number| with_worker(site(number), WORKER);
    let first = "begin 1 hello none";
    lab.deploy(&release(1), &artifact).await.unwrap();
    noted(sshd, &[first]).await;

    // It dies, and comes back.
    let pid = || fs::read_to_string(lab.path("worker")).unwrap_or_default();
    let died = pid();
    let mut kill = std::process::Command::new("kill");
    assert!(kill.args(["-9", died.trim()]).status().unwrap().success());
    noted(sshd, &[first, first]).await;
    assert_ne!(pid(), died);

    // It waits for the switch; then only one runs, the new one once the old one has ended.
    let (spec, ctx) = (release(2), context());
    lab.executor.prepare(&spec, &artifact, &ctx).await.unwrap();
    lab.executor.start(&spec, &ctx).await.unwrap();
    assert_eq!(running(sshd, 2), 0);
    let turn = |number| Turn::new(number, 1);
    lab.executor.switch(&spec, turn(2), &ctx).await.unwrap();
    let second = "begin 2 hello none";
    noted(sshd, &[first, first, "end 1", second]).await;
    assert_eq!(running(sshd, 1), 0);

    // Back before the old release was retired, as where another host could not switch; and
    // after that, by a rollback.
    let back = release(1);
    lab.executor.switch(&back, turn(3), &ctx).await.unwrap();
    let so_far = [first, first, "end 1", second, "end 2", first];
    noted(sshd, &so_far).await;
    let grace = Duration::from_secs(2);
    lab.executor.retire(&spec.slug, 2, grace).await.unwrap();
    lab.executor.start(&spec, &ctx).await.unwrap();
    lab.executor.switch(&spec, turn(4), &ctx).await.unwrap();
    noted(sshd, &[&so_far[..], &["end 1", second]].concat()).await;

    // A release without it ends it, and so does a removal.
    lab.deploy(&site(5), &artifact).await.unwrap();
    lab.executor.retire(&spec.slug, 2, grace).await.unwrap();
    assert_eq!(running(sshd, 2), 0);
    assert_eq!(notes(sshd).last().unwrap(), "end 2");
    lab.deploy(&release(6), &artifact).await.unwrap();
    eventually("the worker", || running(sshd, 6) > 0).await;
    lab.executor.remove(&spec.slug, true).await.unwrap();
    assert!(!lab.path("releases").exists() && !lab.path("run").exists());
    assert_eq!(running(sshd, 6), 0);
    // What the command itself has written beside them is not deployr's.
    assert!(lab.path("notes").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_killed_after_its_time_is_not_run_beside_the_next() {
    let lab = Lab::new();
    let artifact = lab.files(&[("index.html", "home")]);
    let stubborn = "trap '' TERM; echo begin $DEPLOYR_RELEASE >>../../notes; \
                    while :; do sleep 0.05; done";
    let release = |number| with_worker(app(number, SERVER), stubborn);
    lab.deploy(&release(1), &artifact).await.unwrap();
    noted(&lab.sshd, &["begin 1"]).await;
    lab.deploy(&release(2), &artifact).await.unwrap();
    let slug = release(1).slug;
    let grace = Duration::from_secs(1);
    lab.executor.retire(&slug, 1, grace).await.unwrap();
    assert_eq!(running(&lab.sshd, 1), 0);
    noted(&lab.sshd, &["begin 1", "begin 2"]).await;
    // What is not present is not left to wait either.
    lab.executor.start(&release(1), &context()).await.unwrap();
    lab.executor.prune(&slug, &[1, 2]).await.unwrap();
    assert!(!lab.path("run/1.queue/pid").exists());
    assert!(lab.path("run/2.queue/pid").is_symlink());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_runs_on_hosts_for_it_and_other_targets_refuse_it() {
    let hosts = [Sshd::start(), Sshd::start()];
    let roles = |second: &[Role]| {
        let mut targets = hosts.each_ref().map(target);
        targets[0].roles = vec![Role::Web, Role::Db];
        targets[1].roles = second.to_vec();
        let executor = SshExecutor::with_hosts(targets).unwrap();
        executor.patience(PATIENCE)
    };
    let (work, spec) = (tempfile::tempdir().unwrap(), with_worker(site(1), WORKER));
    let artifact = artifact(work.path(), &[("index.html", "home")]);
    let executor = roles(&[Role::Worker]);
    executor.accepts(&spec.slug, &spec.recipe).unwrap();
    deploy(&executor, &spec, &artifact, &context())
        .await
        .unwrap();
    noted(&hosts[1], &["begin 1 hello none"]).await;
    assert!(!path(&hosts[0], "run/1.queue").exists());

    let refused = |executor: &dyn Executor, recipe: &Recipe| {
        let slug = Slug::parse("shop").unwrap();
        let verdict = executor.accepts(&slug, recipe).unwrap_err();
        assert_eq!(verdict.code, VerdictCode::Unsupported);
        verdict.message
    };
    let nowhere = refused(&roles(&[Role::Web]), &spec.recipe);
    assert!(nowhere.contains("the role `worker`"), "{nowhere}");
    #[cfg(feature = "local-executor")]
    let local = refused(&deployr_exec::LocalExecutor::new(work.path()), &spec.recipe);
    #[cfg(feature = "local-executor")]
    assert!(
        local.contains("as queue; deploy to hosts over SSH"),
        "{local}"
    );
}
