//! Builds in containers, and what they may not do there.

use std::fs;
use std::time::Duration;

use deployr_core::builder::{Artifact, ArtifactContent, BuildSpec, Builder};
use deployr_core::error::{StepError, StepResult, VerdictCode};
use deployr_core::executor::Executor;
use deployr_core::model::{ProjectId, ProjectSettings, Runtime};
use deployr_core::system::{Clock, SystemClock, SystemEntropy};
use deployr_core::testing::RecordedStep;
use deployr_core::value::{
    BranchName, BuildCommand, EnvName, EnvSet, EnvValue, GitUrl, OutputDir, TargetName,
};
use deployr_exec::docker::{BuildLimits, DockerBuilder};
use deployr_testkit::docker::Docker;

use crate::support::{Target, get, spec, verdict};

pub(crate) struct Bench {
    pub(crate) docker: &'static Docker,
    pub(crate) root: tempfile::TempDir,
    pub(crate) builder: DockerBuilder,
    pub(crate) step: RecordedStep,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let docker = Docker::shared();
        let root = tempfile::tempdir().unwrap();
        let builder = DockerBuilder::new(root.path()).socket(docker.socket());
        Self {
            docker,
            builder: builder.image(docker.busybox()),
            root,
            step: RecordedStep::new(),
        }
    }

    fn limits(mut self, limits: BuildLimits) -> Self {
        self.builder = self.builder.limits(limits);
        self
    }

    /// What a repository with these files, built with these commands, is to the builder.
    pub(crate) async fn spec(&self, files: &[(&str, &str)], build: Option<&str>) -> BuildSpec {
        let workspace = self.builder.prepare(&self.step.ctx).await.unwrap();
        for (name, text) in files {
            let path = workspace.checkout.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let source = GitUrl::parse("https://git.example.com/acme/app.git").unwrap();
        let branch = BranchName::parse("main").unwrap();
        let target = TargetName::parse("docker").unwrap();
        let mut settings = ProjectSettings::new(source, branch, target);
        settings.build = build.map(|line| BuildCommand::parse(line).unwrap());
        settings.output = build.map(|_| OutputDir::parse("out").unwrap());
        BuildSpec {
            project: ProjectId::new(SystemClock.now(), &SystemEntropy),
            recipe: self.builder.detect(&workspace, &settings).await.unwrap(),
            workspace,
            env: EnvSet::default(),
            timeout: Duration::from_secs(120),
        }
    }

    pub(crate) async fn build(&self, spec: &BuildSpec) -> StepResult<Artifact> {
        self.builder.build(spec, &self.step.ctx).await
    }

    /// The names of all things of this builder on the engine.
    pub(crate) fn left(&self) -> Vec<String> {
        let instance = fs::read_to_string(self.root.path().join("instance")).unwrap();
        let label = format!("label=deployr.instance={instance}");
        let mut left = self.docker.run(&["ps", "-aq", "--filter", &label]);
        left += "\n";
        left += &self
            .docker
            .run(&["network", "ls", "-q", "--filter", &label]);
        let ids = left.lines().filter(|line| !line.is_empty());
        ids.map(str::to_owned).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dockerfile_becomes_a_release() {
    let bench = Bench::new();
    let dockerfile = "FROM busybox:test\nWORKDIR /srv\nCOPY . .\n\
                      RUN echo building && find . >index.html && env >>index.html\n\
                      RUN test ! -e /var/run/docker.sock\n\
                      EXPOSE 4000\nCMD [\"httpd\", \"-f\", \"-p\", \"4000\"]\n";
    let files = [
        ("Dockerfile", dockerfile),
        ("page", "a page"),
        (".git/config", "secret"),
        (".dockerignore", "keys\n!keys/public\n**/*.log\n"),
        ("keys/private", "secret"),
        ("keys/public", "known"),
        ("logs/today.log", "secret"),
    ];
    let mut build = bench.spec(&files, None).await;
    assert_eq!(build.recipe.runtime, Runtime::Image);
    let token = (
        EnvName::parse("TOKEN").unwrap(),
        EnvValue::parse("canary").unwrap(),
    );
    build.env.insert(token.0, token.1).unwrap();
    let artifact = bench.build(&build).await.unwrap();
    assert!(bench.step.said().await.contains(&"building".to_owned()));
    let ArtifactContent::Image(id) = &artifact.content else {
        panic!("{artifact:?}")
    };
    assert_eq!(&artifact.digest, id);
    let history = bench.docker.run(&["history", "--no-trunc", id]);
    assert!(!history.contains("canary"), "{history}");
    assert_eq!(bench.left(), [""; 0]);

    let target = Target::new();
    let mut release = spec(1, "unused");
    release.recipe = build.recipe.clone();
    target
        .executor
        .prepare(&release, &artifact, &bench.step.ctx)
        .await
        .unwrap();
    bench.builder.clean(&build.workspace).await.unwrap();
    let at = target.deploy(&release, &artifact, 1).await.unwrap();
    let page = get(at).await.unwrap();
    for (name, is_there) in [
        ("./page\n", true),
        (".git", false),
        ("./keys/public\n", true),
        ("./keys/private", false),
        ("today.log", false),
    ] {
        assert_eq!(page.contains(name), is_there, "{name} in {page}");
    }
    assert!(!page.contains("canary"), "{page}");
    let named = bench
        .docker
        .run(&["inspect", "--format", "{{len .RepoTags}}", id]);
    assert_eq!(named, "1", "the release's alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dockerfile_that_fails_is_told_and_leaves_nothing() {
    for (dockerfile, words) in [
        ("FROM busybox:test\nRUN echo no luck; exit 3\n", "code: 3"),
        ("FROM busybox:test\nCOPIE . .\n", "COPIE"),
    ] {
        let bench = Bench::new();
        let build = bench.spec(&[("Dockerfile", dockerfile)], None).await;
        let told = verdict(bench.build(&build).await);
        assert_eq!(told.code, VerdictCode::BuildFailed);
        assert!(told.message.contains(words), "{told}");
        assert_eq!(bench.left(), [""; 0]);
        bench.builder.clean(&build.workspace).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dockerfile_that_does_not_end_is_ended() {
    let dockerfile = "FROM busybox:test\nRUN echo begun; sleep 600\n";
    let mut bench = Bench::new();
    let mut build = bench.spec(&[("Dockerfile", dockerfile)], None).await;
    build.timeout = Duration::from_secs(2);
    let told = verdict(bench.build(&build).await);
    assert_eq!(told.code, VerdictCode::BuildTimedOut);
    assert_eq!(bench.left(), [""; 0]);

    bench.step = bench.step.next_attempt();
    let mut build = bench.spec(&[("Dockerfile", dockerfile)], None).await;
    build.timeout = Duration::from_secs(120);
    let cancel = async {
        while !bench.step.said().await.contains(&"begun".to_owned()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        bench.step.ctx.cancel.cancel();
    };
    let (ended, ()) = tokio::join!(bench.build(&build), cancel);
    assert!(matches!(ended, Err(StepError::Stopped)), "{ended:?}");
    assert_eq!(bench.left(), [""; 0]);
    let all = bench
        .docker
        .run(&["ps", "-a", "--no-trunc", "--format", "{{.Command}}"]);
    assert!(!all.contains("echo begun"), "{all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_have_no_rights_and_their_limits() {
    let limits = BuildLimits {
        memory_bytes: Some(64 << 20),
        processes: Some(60),
        ..BuildLimits::default()
    };
    let bench = Bench::new().limits(limits.clone());
    let line = "mkdir out; id -u >out/id; grep CapBnd /proc/self/status >>out/id; \
                ls /var/run/docker.sock /workspace/../etc/shadow 2>>out/id; \
                echo kept >>/cache/notes; cat /cache/notes >>out/id; \
                bomb() { bomb | bomb & }; bomb 2>/dev/null; true";
    let build = bench.spec(&[("a", "")], Some(line)).await;
    let artifact = bench.build(&build).await.unwrap();
    let ArtifactContent::Folder(folder) = &artifact.content else {
        panic!("{artifact:?}")
    };
    let said = fs::read_to_string(folder.join("id")).unwrap();
    for wanted in [
        "10001\n",
        "CapBnd:\t0000000000000000",
        "docker.sock: No such",
        "kept\n",
    ] {
        assert!(said.contains(wanted), "no `{wanted}` in {said}");
    }
    assert_eq!(bench.left(), [""; 0]);
    bench.builder.clean(&build.workspace).await.unwrap();

    let bench = Bench::new().limits(limits);
    let build = bench.spec(&[("a", "")], Some("tail -n 1 /dev/zero")).await;
    let told = verdict(bench.build(&build).await);
    assert_eq!(told.code, VerdictCode::OutOfMemory);
    assert!(told.message.contains("64 MiB"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn projects_have_caches_of_their_own_and_what_died_is_found() {
    let bench = Bench::new();
    let mut build = bench
        .spec(
            &[("a", "")],
            Some("mkdir out; ls /cache; echo x >/cache/mine"),
        )
        .await;
    let artifact = bench.build(&build).await;
    artifact.unwrap();
    // Another project sees nothing of it, the same one does.
    build.project = ProjectId::new(SystemClock.now(), &SystemEntropy);
    build.recipe.commands = vec![BuildCommand::parse("test -z \"$(ls /cache)\"").unwrap()];
    bench.build(&build).await.unwrap();

    build.recipe.commands = vec![BuildCommand::parse("sleep 600").unwrap()];
    let begun = async {
        while bench.left().len() < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    // A container and its network; then nobody waits for them any more.
    tokio::select! {
        ended = bench.build(&build) => panic!("{ended:?}"),
        () = begun => {}
    }
    assert_eq!(bench.left().len(), 2);
    let restarted = DockerBuilder::new(bench.root.path()).socket(bench.docker.socket());
    restarted.remove_stale().await.unwrap();
    assert_eq!(bench.left(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_want_an_image() {
    let bench = Bench::new();
    let build = bench.spec(&[("a", "")], Some("true")).await;
    let none = DockerBuilder::new(bench.root.path()).socket(bench.docker.socket());
    let told = verdict(none.build(&build, &bench.step.ctx).await);
    assert_eq!(told.code, VerdictCode::Unsupported);
    assert!(told.message.contains("image"), "{told}");
}
