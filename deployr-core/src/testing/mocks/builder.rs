use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use super::script::{Script, go_on, lock};
use crate::builder::{Artifact, ArtifactContent, BuildSpec, Builder, Workspace};
use crate::command::{Command, PlannedStep};
use crate::context::StepContext;
use crate::error::{Fault, StepResult};
use crate::model::{ProjectId, ProjectSettings, Recipe, Runtime};
use crate::testing::source::{Entry, digest, read_tree};
use crate::value::{Framework, OutputDir};

/// A builder that builds at once: the checkout is the artifact. Its workspaces are
/// real folders, so that real sources and executors can be used with it.
#[derive(Debug, Clone)]
pub struct ScriptedBuilder {
    script: Script,
    root: PathBuf,
    open: Arc<Mutex<Vec<PathBuf>>>,
}

impl ScriptedBuilder {
    /// A builder with its workspaces under `root`.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            script: Script::default(),
            root: root.into(),
            open: Arc::default(),
        }
    }

    /// What was asked, and how it shall fail. Calls: `prepare`, `detect`, `build`, `clean`.
    #[must_use]
    pub fn script(&self) -> &Script {
        &self.script
    }

    /// The workspaces that were made and not cleaned. Empty once nothing is deployed.
    #[must_use]
    pub fn open_workspaces(&self) -> Vec<PathBuf> {
        lock(&self.open).clone()
    }
}

impl Default for ScriptedBuilder {
    /// A builder with its workspaces in the folder for temporary files.
    fn default() -> Self {
        let name = format!("deployr-testing-{}", uuid_of_process());
        Self::new(std::env::temp_dir().join(name))
    }
}

fn size(entry: &Entry) -> u64 {
    match entry {
        Entry::File(content) | Entry::Program(content) => content.len() as u64,
        Entry::Link(_) => 0,
    }
}

fn uuid_of_process() -> uuid::Uuid {
    use crate::system::{Clock, SystemClock, SystemEntropy};
    crate::model::JobId::new(SystemClock.now(), &SystemEntropy).as_uuid()
}

#[async_trait]
impl Builder for ScriptedBuilder {
    fn name(&self) -> &str {
        "scripted"
    }

    fn plan(&self, recipe: &Recipe) -> Vec<PlannedStep> {
        let run = |line: &crate::value::BuildCommand| {
            PlannedStep::run("build", Command::shell(line.as_str()))
        };
        recipe.commands.iter().map(run).collect()
    }

    async fn prepare(&self, ctx: &StepContext) -> StepResult<Workspace> {
        self.script
            .called("prepare", &format!("{} {}", ctx.deployment, ctx.attempt))?;
        go_on(ctx)?;
        let deployment = self.root.join(ctx.deployment.to_string());
        let path = deployment.join(ctx.attempt.to_string());
        let checkout = path.join("checkout");
        let fault = |error| Fault::io("make", checkout.display(), error);
        match std::fs::remove_dir_all(&deployment) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(fault(error))?,
            _ => lock(&self.open).retain(|open| !open.starts_with(&deployment)),
        }
        std::fs::create_dir_all(&checkout).map_err(fault)?;
        lock(&self.open).push(path.clone());
        Ok(Workspace { path, checkout })
    }

    async fn detect(
        &self,
        _workspace: &Workspace,
        settings: &ProjectSettings,
    ) -> StepResult<Recipe> {
        self.script.called("detect", "")?;
        let runtime = match settings.start.clone() {
            Some(start) => Runtime::Process { start },
            None => Runtime::Static { single_page: false },
        };
        let output = OutputDir::parse(".").expect("a legal folder");
        Ok(Recipe {
            framework: Framework::parse("scripted").expect("a legal name"),
            root: settings.root.clone(),
            commands: settings.build.clone().into_iter().collect(),
            output: settings.output.clone().unwrap_or(output),
            runtime,
            health: settings.health.clone().unwrap_or_default(),
            shared: settings.shared.clone().unwrap_or_default(),
            writable: settings.writable.clone().unwrap_or_default(),
            on_target: Default::default(),
            images: Default::default(),
        })
    }

    async fn build(&self, spec: &BuildSpec, ctx: &StepContext) -> StepResult<Artifact> {
        self.script.called("build", &ctx.deployment.to_string())?;
        for command in &spec.recipe.commands {
            ctx.log.say(format!("$ {command}")).await;
        }
        go_on(ctx)?;
        let folder = spec.workspace.checkout.clone();
        let tree =
            read_tree(&folder).map_err(|error| Fault::io("read", folder.display(), error))?;
        Ok(Artifact {
            content: ArtifactContent::Folder(folder),
            digest: format!("sha256:{}", digest(&tree, "")),
            bytes: tree.values().map(size).sum(),
        })
    }

    async fn clean(&self, workspace: &Workspace) -> StepResult<()> {
        self.script.called("clean", "")?;
        match std::fs::remove_dir_all(&workspace.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Fault::io("remove", workspace.path.display(), error).into());
            }
            _ => {}
        }
        lock(&self.open).retain(|open| *open != workspace.path);
        Ok(())
    }

    async fn forget(&self, project: ProjectId) -> StepResult<()> {
        self.script.called("forget", &project.to_string())
    }
}
