//! The local executor: what releases may reach.
#![cfg(feature = "local-executor")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod executor_support;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use deployr_core::error::VerdictCode;
use deployr_core::executor::{Executor, ReleaseSpec};
use deployr_core::testing::RecordedStep;
use deployr_core::value::{BuildCommand, HealthDeadline, RelPath};
use deployr_exec::local::run::LocalExecutor;
use deployr_exec::local::{Confinement, Sandbox};
use executor_support::*;

/// A host with the engine's data in a folder that may be read, but for them.
struct Bed {
    host: Host,
    outer: tempfile::TempDir,
}

impl Bed {
    fn new() -> Self {
        let confinement = Sandbox::new().confinement();
        assert!(
            matches!(confinement, Confinement::Landlock { .. }),
            "these tests mean nothing on this kernel: {confinement:?}"
        );
        let (mut host, outer) = (Host::new(), tempfile::tempdir().unwrap());
        let data = outer.path().join("data");
        fs::create_dir(&data).unwrap();
        fs::write(data.join("secret.key"), "canary").unwrap();
        fs::write(outer.path().join("tool"), "a tool").unwrap();
        fs::create_dir_all(host.root().join("other/shared")).unwrap();
        fs::write(host.root().join("other/shared/x"), "canary").unwrap();
        let readable = Sandbox::READABLE.iter().map(Path::new);
        let sandbox = Sandbox::new()
            .readable(readable.chain([outer.path()]))
            .private([data]);
        host.executor = LocalExecutor::new(host.root()).sandbox(sandbox);
        Self { host, outer }
    }

    /// Lines that must not work in a release, and lines that must.
    fn lines(&self, port: u16) -> [Vec<String>; 2] {
        let (outer, root) = (self.outer.path().display(), self.host.root());
        let (root, engine) = (root.display(), std::process::id());
        let no = [
            &format!("cat {outer}/data/secret.key"),
            &format!("ls {outer}/data"),
            "cat ../../../other/shared/x",
            &format!("ls {root}/shop/run"),
            &format!("echo x > {root}/shop/run/1.json"),
            "ls ../../log",
            "echo x > index.html",
            "echo x > new",
            "rm index.html",
            "ln -sfn releases/9 ../../current",
            "echo 99 > ../../turn",
            "mktemp -p /tmp",
            "cat /etc/shadow",
            &format!("cat /proc/{engine}/environ"),
            &format!("kill -0 {engine}"),
            "mknod cache/disk b 254 0",
            "grep CapEff: /proc/self/status | grep -v '\\b0*$'",
        ];
        let connect = format!(
            "node -e 'require(\"net\").connect({port}).on(\"error\", () => process.exit(1))\
             .on(\"connect\", () => process.exit(0))'"
        );
        let yes = [
            "cat index.html",
            "ls",
            &format!("cat {outer}/tool"),
            "echo x > cache/deep/x && mv cache/deep/x cache/x",
            "echo x > storage/x",
            "echo x > kept.txt",
            "mktemp",
            "mkdir -p \"$HOME/.npm\"",
            "cat /etc/passwd > /dev/null",
            &connect,
        ];
        [
            no.map(str::to_owned).to_vec(),
            yes.map(str::to_owned).to_vec(),
        ]
    }

    fn spec(&self) -> ReleaseSpec {
        let mut spec = self.host.site(1);
        spec.recipe.shared = paths(&["storage", "kept.txt"]);
        spec.recipe.writable = paths(&["cache", "cache/deep", "storage"]);
        spec
    }

    /// Runs the lines in a release, by its start command or by its health command, and
    /// checks which of them have worked.
    async fn check(&self, run: impl FnOnce(&mut ReleaseSpec, &str)) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let [no, yes] = self.lines(listener.local_addr().unwrap().port());
        let mut script = String::new();
        for (at, line) in no.iter().chain(&yes).enumerate() {
            script += &format!(
                "({line}) > \"$HOME/said\" 2>&1; printf '\\n{at}: %s\\n' $?; cat \"$HOME/said\"\n"
            );
        }
        let mut spec = self.spec();
        run(&mut spec, &script);
        let artifact = self.host.files(&[("index.html", "hello")]);
        self.host.deploy(&spec, &artifact, 1).await.unwrap();
        let log = self.host.read("log/1.log");
        assert!(!log.contains("canary"), "{log}");
        for (at, line) in no.iter().chain(&yes).enumerate() {
            let code = log
                .lines()
                .find_map(|said| said.strip_prefix(&format!("{at}: ")));
            let worked = code.map(|code| code == "0");
            assert_eq!(
                worked,
                Some(at >= no.len()),
                "`{line}` ended with {code:?}:\n{log}"
            );
        }
        self.host.executor.shutdown(Duration::ZERO).await.unwrap();
    }
}

fn paths(paths: &[&str]) -> Vec<RelPath> {
    paths
        .iter()
        .map(|path| RelPath::parse(path).unwrap())
        .collect()
}

fn command(line: &str) -> BuildCommand {
    BuildCommand::parse(line).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_health_command_reads_and_writes_only_what_is_the_releases() {
    let bed = Bed::new();
    bed.check(|spec, script| spec.recipe.health.command = Some(command(script)))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_reads_and_writes_only_what_is_the_releases() {
    let bed = Bed::new();
    bed.check(|spec, script| {
        let script = format!("{script}\necho > \"$HOME/done\"; while :; do sleep 1; done");
        spec.recipe.runtime = bed.host.sh(1, &script).recipe.runtime;
        spec.recipe.health.command = Some(command("test -e \"$HOME/done\""));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_is_confined_when_it_is_started_again_too() {
    let bed = Bed::new();
    let mut spec = bed.spec();
    let line = "echo x > new && echo escaped; echo begun; while :; do sleep 1; done";
    spec.recipe.runtime = bed.host.sh(1, line).recipe.runtime;
    spec.recipe.health.command = Some(command("true"));
    let artifact = bed.host.files(&[("index.html", "")]);
    bed.host.deploy(&spec, &artifact, 1).await.unwrap();
    kill(bed.host.executor.status(&bed.host.slug)[0].pid);
    eventually(|| bed.host.read("log/1.log").matches("begun").count() == 2).await;
    assert!(!bed.host.read("log/1.log").contains("escaped"));
    bed.host.executor.shutdown(Duration::ZERO).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writable_folder_that_leads_out_of_the_release_is_refused() {
    let bed = Bed::new();
    let mut spec = bed.spec();
    spec.recipe.health.command = Some(command("echo x > cache/written"));
    spec.recipe.health.deadline_ms = HealthDeadline::new(100).unwrap();
    let artifact = bed.host.files(&[("index.html", "")]);
    symlink(bed.outer.path(), bed.host.folder(&artifact).join("cache")).unwrap();
    let verdict = expect_verdict(bed.host.deploy(&spec, &artifact, 1).await);
    assert_eq!(verdict.code, VerdictCode::Unhealthy);
    assert!(
        verdict.message.contains("`cache` leads out of the release"),
        "{verdict}"
    );
    assert!(!bed.outer.path().join("written").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_a_release_has_put_in_a_writable_folder_opens_nothing() {
    let bed = Bed::new();
    let mut spec = bed.spec();
    let outer = bed.outer.path().display();
    // The first probe puts the link there, the second would profit from it.
    let line = format!("rm -r cache/deep; ln -s {outer} cache/deep; echo x > cache/deep/written");
    spec.recipe.health.command = Some(command(&line));
    spec.recipe.health.deadline_ms = HealthDeadline::new(500).unwrap();
    let artifact = bed.host.files(&[("index.html", "")]);
    let verdict = expect_verdict(bed.host.deploy(&spec, &artifact, 1).await);
    assert_eq!(verdict.code, VerdictCode::Unhealthy);
    assert!(
        bed.host.path("releases/1/cache/deep").is_symlink(),
        "{verdict}"
    );
    assert!(!bed.outer.path().join("written").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_release_has_put_aside_goes_with_it() {
    let bed = Bed::new();
    let mut spec = bed.spec();
    spec.recipe.health.command = Some(command("mktemp"));
    let artifact = bed.host.files(&[("index.html", "")]);
    bed.host.deploy(&spec, &artifact, 1).await.unwrap();
    assert_eq!(fs::read_dir(bed.host.path("tmp/1")).unwrap().count(), 1);
    let next = bed.host.files(&[("index.html", "")]);
    bed.host.deploy(&bed.host.site(2), &next, 2).await.unwrap();
    bed.host.executor.discard(&bed.host.slug, 1).await.unwrap();
    assert!(!bed.host.path("tmp/1").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_executor_that_does_not_confine_says_so_in_the_log() {
    let mut bed = Bed::new();
    bed.host.executor = LocalExecutor::new(bed.host.root()).sandbox(Sandbox::new().confine(false));
    let step = RecordedStep::new();
    let mut spec = bed.spec();
    spec.recipe.health.command = Some(command("true"));
    let artifact = bed.host.files(&[("index.html", "")]);
    bed.host
        .executor
        .prepare(&spec, &artifact, &step.ctx)
        .await
        .unwrap();
    bed.host.executor.start(&spec, &step.ctx).await.unwrap();
    let lines = step.said().await;
    assert!(
        lines[0].starts_with("releases are not confined: "),
        "{lines:?}"
    );
}
