//! What tests of executors for other machines have in common.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use deployr_core::builder::{Artifact, ArtifactContent};
use deployr_core::error::{Fault, StepError, StepResult};
use deployr_core::executor::{Executor, ReleaseSpec};
use deployr_core::model::{HealthCheck, ProjectId, Recipe, ReleaseId, Runtime};
use deployr_core::system::{Entropy, timestamp_from_micros};
use deployr_core::testing::RecordedStep;
use deployr_core::value::{CommitId, EnvSet, Framework, OutputDir, RelPath, Slug};

use crate::corpus;

pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// An artifact with these files, in a folder of its own in `work`.
pub(crate) fn artifact(work: &Path, files: &[(&str, &str)]) -> Artifact {
    let folder = tempfile::Builder::new().tempdir_in(work).unwrap().keep();
    for (name, text) in files {
        let file = folder.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    Artifact {
        content: ArtifactContent::Folder(folder),
        digest: "sha256:0".into(),
        bytes: 0,
    }
}

pub(crate) fn folder(artifact: &Artifact) -> &Path {
    match &artifact.content {
        ArtifactContent::Folder(path) => path,
        other => panic!("{other:?}"),
    }
}

/// The same release for the same number, as out of a store.
pub(crate) fn release(number: i64, runtime: Runtime) -> ReleaseSpec {
    ReleaseSpec {
        project: ProjectId::new(timestamp_from_micros(0), &Zeros),
        slug: Slug::parse("shop").unwrap(),
        release: ReleaseId::new(timestamp_from_micros(number * 1_000_000), &Zeros),
        number,
        commit: CommitId::parse(COMMIT).unwrap(),
        recipe: Recipe {
            framework: Framework::parse("test").unwrap(),
            root: None,
            commands: Vec::new(),
            output: OutputDir::parse(".").unwrap(),
            runtime,
            health: HealthCheck::default(),
            shared: Vec::new(),
            writable: Vec::new(),
            on_target: Default::default(),
            images: Default::default(),
        },
        env: EnvSet::new(),
    }
}

#[derive(Debug)]
struct Zeros;

impl Entropy for Zeros {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(0);
    }
}

pub(crate) fn paths(paths: &[&str]) -> Vec<RelPath> {
    paths
        .iter()
        .map(|path| RelPath::parse(path).unwrap())
        .collect()
}

pub(crate) fn expect_fault<T: std::fmt::Debug>(result: StepResult<T>) -> Fault {
    match result {
        Err(StepError::Fault(fault)) => fault,
        other => panic!("no fault but {other:?}"),
    }
}

pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "{what} did not come about"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Shared paths of all kinds stay in `project`, the folder of releases that `make` gives,
/// whatever links a build has put in their way.
pub(crate) async fn what_is_shared_stays_below(
    executor: &impl Executor,
    work: &Path,
    project: &Path,
    make: impl Fn(i64) -> ReleaseSpec,
) {
    let outside = tempfile::tempdir().unwrap();
    let ctx = RecordedStep::new().ctx;
    for (number, path) in (1..).zip(corpus::accepted()) {
        let mut spec = make(number);
        spec.recipe.shared = vec![path.clone()];
        if let [first, _, ..] = path.as_path().components().collect::<Vec<_>>().as_slice() {
            let tricky = artifact(work, &[("index.html", "home")]);
            symlink(outside.path(), folder(&tricky).join(first)).unwrap();
            let refused = expect_fault(executor.prepare(&spec, &tricky, &ctx).await);
            assert!(!refused.retryable, "{path}: {refused}");
        }
        let good = artifact(work, &[("index.html", "home")]);
        executor.prepare(&spec, &good, &ctx).await.unwrap();
        let release = project.join(format!("releases/{number}-{COMMIT}"));
        let there = |path| fs::canonicalize(path).unwrap();
        assert_eq!(
            there(release.join(path.as_path())),
            there(project.join("shared").join(path.as_path())),
            "{path}"
        );
    }
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}
