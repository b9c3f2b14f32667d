//! Real applications, built as a project's repository is, once for all tests of a binary.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use deployr_core::builder::{Artifact, ArtifactContent, BuildSpec, Builder};
use deployr_core::model::{ProjectId, ProjectSettings, Recipe};
use deployr_core::system::{Clock, SystemClock, SystemEntropy};
use deployr_core::testing::RecordedStep;
use deployr_core::value::{BranchName, EnvName, EnvSet, EnvValue, GitUrl, TargetName};
use deployr_exec::local::build::LocalBuilder;
use tempfile::TempDir;
use tokio::sync::OnceCell;

/// What a build has made of an application.
pub(crate) struct Built {
    pub(crate) recipe: Recipe,
    folder: PathBuf,
    _work: TempDir,
}

impl Built {
    /// A copy of what was built, with `text` for `old` in one of its files.
    pub(crate) fn with(&self, work: &Path, file: &str, old: &str, text: &str) -> Artifact {
        let folder = tempfile::Builder::new().tempdir_in(work).unwrap().keep();
        let mut copy = Command::new("cp");
        copy.arg("-a").arg(self.folder.join(".")).arg(&folder);
        assert!(copy.status().unwrap().success());
        let path = folder.join(file);
        let before = fs::read_to_string(&path).unwrap();
        assert!(before.contains(old), "{file} has no {old}");
        fs::write(path, before.replace(old, text)).unwrap();
        Artifact {
            content: ArtifactContent::Folder(folder),
            digest: "sha256:0".into(),
            bytes: 0,
        }
    }
}

/// A Laravel application on Debian's packages. It answers `1 <APP_NAME> <rows of a table>`.
pub(crate) async fn laravel() -> &'static Built {
    static BUILT: OnceCell<Built> = OnceCell::const_new();
    BUILT.get_or_init(|| build("laravel")).await
}

async fn build(app: &str) -> Built {
    let (work, step) = (TempDir::new().unwrap(), RecordedStep::new());
    let builder = LocalBuilder::new(work.path().join("builds"));
    let workspace = builder.prepare(&step.ctx).await.unwrap();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/apps");
    let mut copy = Command::new("cp");
    copy.arg("-R").arg(from.join(app).join("."));
    assert!(copy.arg(&workspace.checkout).status().unwrap().success());
    let source = GitUrl::parse("https://git.example.com/acme/app.git").unwrap();
    let (branch, target) = (BranchName::parse("main"), TargetName::parse("ssh:web"));
    let settings = ProjectSettings::new(source, branch.unwrap(), target.unwrap());
    let recipe = builder.detect(&workspace, &settings).await.unwrap();
    let spec = BuildSpec {
        project: ProjectId::new(SystemClock.now(), &SystemEntropy),
        recipe: recipe.clone(),
        workspace,
        env: EnvSet::new(),
        timeout: Duration::from_secs(300),
    };
    let built = builder.build(&spec, &step.ctx).await;
    let said = step.said().await.join("\n");
    let artifact = built.unwrap_or_else(|error| panic!("{error}\n{said}"));
    let ArtifactContent::Folder(folder) = artifact.content else {
        panic!("{:?}", artifact.content)
    };
    Built {
        recipe,
        folder,
        _work: work,
    }
}

pub(crate) fn set(env: &mut EnvSet, name: &str, value: &str) {
    let (name, value) = (EnvName::parse(name), EnvValue::parse(value));
    env.insert(name.unwrap(), value.unwrap()).unwrap();
}
