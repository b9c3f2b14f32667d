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

/// A Next.js of the kind that runs without its packages. It says `version-1 of <APP_NAME>`.
/// Its build takes most of a minute, and is kept for as long as nobody changes the app.
pub(crate) async fn next() -> &'static Built {
    static BUILT: OnceCell<Built> = OnceCell::const_new();
    BUILT.get_or_init(|| build("next")).await
}

async fn build(app: &str) -> Built {
    let kept = (app == "next").then(|| kept_at(app));
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
    if let Some(folder) = kept.clone().filter(|kept| kept.exists()) {
        return Built {
            recipe,
            folder,
            _work: work,
        };
    }
    let mut env = EnvSet::new();
    // The build has another home, where nobody has said which registry to use.
    let registry = Command::new("npm")
        .args(["config", "get", "registry"])
        .output()
        .unwrap();
    let registry = String::from_utf8(registry.stdout).unwrap();
    set(&mut env, "npm_config_registry", registry.trim());
    let spec = BuildSpec {
        project: ProjectId::new(SystemClock.now(), &SystemEntropy),
        recipe: recipe.clone(),
        workspace,
        env,
        timeout: Duration::from_secs(300),
    };
    let built = builder.build(&spec, &step.ctx).await;
    let said = step.said().await.join("\n");
    let artifact = built.unwrap_or_else(|error| panic!("{error}\n{said}"));
    let ArtifactContent::Folder(folder) = artifact.content else {
        panic!("{:?}", artifact.content)
    };
    let folder = match kept {
        Some(kept) => {
            let whole = tempfile::tempdir_in(kept.parent().unwrap()).unwrap().keep();
            let mut copy = Command::new("cp");
            copy.arg("-a").arg(folder.join(".")).arg(&whole);
            assert!(copy.status().unwrap().success());
            // Another test may have been as fast.
            let _ = fs::rename(whole, &kept);
            kept
        }
        None => folder,
    };
    Built {
        recipe,
        folder,
        _work: work,
    }
}

/// Where the build of an app is kept, named by what it is built from.
fn kept_at(app: &str) -> PathBuf {
    let from = Path::new(env!("CARGO_MANIFEST_DIR"));
    let digest = "cd \"$0\" && find \"tests/apps/$1\" \"presets/$1-standalone.toml\" -type f | sort | xargs cat | sha256sum";
    let mut digest = Command::new("sh")
        .args(["-c", digest])
        .arg(from)
        .arg(app)
        .output()
        .unwrap();
    digest.stdout.truncate(16);
    let digest = String::from_utf8(digest.stdout).unwrap();
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{app}-{digest}"))
}

pub(crate) fn set(env: &mut EnvSet, name: &str, value: &str) {
    let (name, value) = (EnvName::parse(name), EnvValue::parse(value));
    env.insert(name.unwrap(), value.unwrap()).unwrap();
}
