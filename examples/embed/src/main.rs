//! The shortest useful program with the engine in it: deploys one repository to a
//! folder of this machine, and prints what happens. README.md shows the same.
//!
//! ```text
//! export DEPLOYR_KEYS=k1:$(openssl rand -base64 32)    # keep it: it opens the secrets
//! cargo run -p deployr-embed-example -- https://git.example.com/acme/blog.git
//! ls site-data/sites/*/current/
//! ```
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a program")]

use std::{error::Error, process::ExitCode, sync::Arc, time::Duration};

use deployr_core::engine::{DeployRequest, Engine, EngineError, ProjectRequest};
use deployr_core::model::{Actor, DeploymentStatus};
use deployr_core::value::{GitUrl, TenantId, UrlPolicy};
use deployr_core::{notifier::LogNotifier, secret::KeyRing, store::StoreError};
use deployr_exec::{LocalBuilder, LocalExecutor, Sandbox};
use deployr_github::GitSource;
use deployr_store::SqliteStore;

#[tokio::main]
async fn main() -> ExitCode {
    let Err(error) = deploy().await else {
        return ExitCode::SUCCESS;
    };
    eprintln!("error: {error}");
    ExitCode::FAILURE
}

async fn deploy() -> Result<(), Box<dyn Error>> {
    // Who runs this may read this machine's folders anyway. The default allows none.
    let policy = UrlPolicy {
        allow_local: true,
        ..UrlPolicy::default()
    };
    let repository = std::env::args()
        .nth(1)
        .ok_or("name a repository: https://… or /folder")?;
    let url = GitUrl::parse_with(repository, &policy)?;
    let keys =
        std::env::var("DEPLOYR_KEYS").map_err(|_| "set DEPLOYR_KEYS=k1:<32 bytes, base64>")?;

    // Neither a build nor a release reads the database, wherever this program runs.
    let sandbox = Sandbox::new().private(["site-data"]);
    let builder = LocalBuilder::new("site-data/builds").sandbox(sandbox.clone());
    let executor = LocalExecutor::new("site-data/sites").sandbox(sandbox);
    let engine = Engine::builder()
        .store(Arc::new(SqliteStore::open("site-data/deployr.db").await?))
        .source(Arc::new(
            GitSource::new("site-data/mirrors").allow_local(true),
        ))
        .builder(Arc::new(builder))
        .executor("local", Arc::new(executor))
        .notifier(Arc::new(LogNotifier))
        .keys(KeyRing::parse(&keys)?)
        .build()?;
    let worker = engine.worker().concurrency(4).spawn();

    let (me, name) = (Actor::new(TenantId::parse("acme")?, "ada"), url.repo_name());
    let project = match engine.project_by_name(&me, &name).await {
        Err(EngineError::Store(StoreError::NotFound { .. })) => {
            engine
                .create_project(&me, ProjectRequest::new(&name, url)?)
                .await?
        }
        found => found?,
    };
    let deployment = engine
        .deploy(&me, project.id, DeployRequest::latest())
        .await?;

    let mut events = engine.follow(&me, deployment.id, 0).await?;
    while let Some(event) = events.try_next().await? {
        println!("{event}"); // stages and log lines, in order, none lost
    }
    worker.drain(Duration::from_secs(60)).await;

    match engine.deployment(&me, deployment.id).await?.status {
        DeploymentStatus::Success => Ok(()),
        status => Err(format!("{name} is not live: {status}").into()),
    }
}
