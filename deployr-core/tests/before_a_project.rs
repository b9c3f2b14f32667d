//! What is asked before there is a project, and what keeps one from being made.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use async_trait::async_trait;
use deployr_core::builder::{Artifact, BuildSpec, Builder, Workspace};
use deployr_core::command::PlannedStep;
use deployr_core::context::StepContext;
use deployr_core::engine::{Engine, EngineError, ProjectRequest};
use deployr_core::error::{StepError, StepResult, VerdictCode};
use deployr_core::model::{Actor, Page, ProjectId, ProjectSettings, Recipe};
use deployr_core::secret::{KeyId, KeyRing};
use deployr_core::source::{CredentialProvider, Credentials};
use deployr_core::system::SystemClock;
use deployr_core::testing::{MemoryStore, ScriptedBuilder, ScriptedExecutor, ScriptedSource};
use deployr_core::value::{
    BranchName, CommitId, Framework, GitRef, GitUrl, InputCode, InvalidValue, TenantId,
};

const TOKEN: &str = "ghs_16C7e42F292c6912E7710c838347Ae178B4a";

/// Has one credential for all, and a builder that knows no framework.
#[derive(Default)]
struct Picky(ScriptedBuilder);

#[async_trait]
impl CredentialProvider for Picky {
    async fn credentials(&self, _: &GitUrl) -> StepResult<Option<Credentials>> {
        Ok(Some(Credentials::Password {
            user: "x-access-token".to_owned(),
            password: TOKEN.into(),
        }))
    }
}

#[async_trait]
impl Builder for Picky {
    fn name(&self) -> &str {
        self.0.name()
    }
    fn check(&self, settings: &ProjectSettings) -> Result<(), InvalidValue> {
        let refuse = |name: &Framework| {
            let (code, rule) = (InputCode::FrameworkInvalid, "must be none");
            Err(InvalidValue::new("framework", code, rule, name.as_str()))
        };
        settings.framework.as_ref().map_or(Ok(()), refuse)
    }
    fn plan(&self, recipe: &Recipe) -> Vec<PlannedStep> {
        self.0.plan(recipe)
    }
    async fn prepare(&self, ctx: &StepContext) -> StepResult<Workspace> {
        self.0.prepare(ctx).await
    }
    async fn detect(&self, at: &Workspace, settings: &ProjectSettings) -> StepResult<Recipe> {
        self.0.detect(at, settings).await
    }
    async fn build(&self, spec: &BuildSpec, ctx: &StepContext) -> StepResult<Artifact> {
        self.0.build(spec, ctx).await
    }
    async fn clean(&self, workspace: &Workspace) -> StepResult<()> {
        self.0.clean(workspace).await
    }

    async fn forget(&self, project: ProjectId) -> StepResult<()> {
        self.0.forget(project).await
    }
}

fn engine(source: &ScriptedSource) -> Engine {
    Engine::builder()
        .store(Arc::new(MemoryStore::new(Arc::new(SystemClock))))
        .source(Arc::new(source.clone()))
        .credentials(Arc::new(Picky::default()))
        .builder(Arc::new(Picky::default()))
        .executor("local", Arc::new(ScriptedExecutor::default()))
        .keys(KeyRing::new(vec![(KeyId::parse("k1").unwrap(), [7; 32])]).unwrap())
        .build()
        .unwrap()
}

fn url() -> GitUrl {
    GitUrl::parse("https://git.example.com/acme/blog.git").unwrap()
}

fn me() -> Actor {
    Actor::new(TenantId::parse("acme").unwrap(), "ada")
}

#[tokio::test]
async fn a_look_up_says_what_is_there_and_keeps_the_credential_to_itself() {
    let source = ScriptedSource::new(CommitId::parse("a".repeat(40)).unwrap());
    let engine = engine(&source);
    let main = GitRef::Branch(BranchName::main());
    assert_eq!(engine.look_up(&url(), None).await.unwrap(), main);
    let next = GitRef::Branch(BranchName::parse("next").unwrap());
    match engine.look_up(&url(), Some(&next)).await {
        Err(EngineError::Verdict(verdict)) => assert_eq!(verdict.code, VerdictCode::RefNotFound),
        other => panic!("{other:?}"),
    }
    let telling = format!("the server does not like {TOKEN}");
    let refused = StepError::verdict(VerdictCode::RepositoryRefused, telling);
    source.script().fail_next("resolve", refused);
    let told = engine.look_up(&url(), None).await.unwrap_err();
    let told = format!("{told} {told:?}");
    assert!(
        told.contains("does not like") && !told.contains(TOKEN),
        "{told}"
    );
}

#[tokio::test]
async fn settings_that_the_builder_refuses_are_not_stored() {
    let engine = engine(&ScriptedSource::default());
    let refused = |answer: Result<_, EngineError>| match answer {
        Err(EngineError::Invalid(invalid)) => assert_eq!(invalid.field, "framework"),
        other => panic!("{other:?}"),
    };
    let mut wanted = ProjectRequest::new("blog", url()).unwrap();
    wanted.settings.framework = Some(Framework::parse("nextt").unwrap());
    let other = wanted.settings.clone();
    refused(engine.create_project(&me(), wanted.clone()).await);
    let all = engine.projects(&me(), Page::first(10)).await.unwrap();
    assert_eq!(all, []);

    wanted.settings.framework = None;
    let project = engine.create_project(&me(), wanted).await.unwrap();
    refused(engine.update_project(&me(), project.id, other).await);
    assert_eq!(engine.project(&me(), project.id).await.unwrap(), project);
}
