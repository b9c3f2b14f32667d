//! The shortest useful program with the engine in it: deploys one repository to a
//! folder of this machine, and prints what happens.
//!
//! ```text
//! export DEPLOYR_KEYS=k1:$(openssl rand -base64 32)    # keep it: it opens the secrets
//! cargo run -p deployr-embed-example -- https://git.example.com/acme/blog.git
//! ls site-data/sites/*/current/
//! ```
#![allow(clippy::print_stdout, reason = "it is a program")]

use std::sync::Arc;
use std::time::Duration;

use deployr_core::engine::{DeployRequest, Engine, ProjectRequest};
use deployr_core::model::{Actor, DeploymentStatus};
use deployr_core::notifier::LogNotifier;
use deployr_core::secret::KeyRing;
use deployr_core::value::{GitUrl, TenantId};
use deployr_exec::{LocalBuilder, LocalExecutor, Sandbox};
use deployr_github::GitSource;
use deployr_store::SqliteStore;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = GitUrl::parse(std::env::args().nth(1).ok_or("which repository?")?)?;
    let keys =
        std::env::var("DEPLOYR_KEYS").map_err(|_| "set DEPLOYR_KEYS: see the top of main.rs")?;

    // Neither a build nor a release reads the database, wherever this program runs.
    let sandbox = Sandbox::new().private(["site-data"]);
    let builder = LocalBuilder::new("site-data/builds").sandbox(sandbox.clone());
    let executor = LocalExecutor::new("site-data/sites").sandbox(sandbox);
    let engine = Engine::builder()
        .store(Arc::new(SqliteStore::open("site-data/deployr.db").await?))
        .source(Arc::new(GitSource::new("site-data/mirrors")))
        .builder(Arc::new(builder))
        .executor("local", Arc::new(executor))
        .notifier(Arc::new(LogNotifier))
        .keys(KeyRing::parse(&keys)?)
        .build()?;
    let worker = engine.worker().concurrency(4).spawn();

    let me = Actor::new(TenantId::parse("acme")?, "ada");
    let project = match engine.project_by_name(&me, &url.repo_name()).await {
        Ok(project) => project,
        Err(_) => {
            engine
                .create_project(&me, ProjectRequest::new(&url.repo_name(), url)?)
                .await?
        }
    };
    let deployment = engine
        .deploy(&me, project.id, DeployRequest::latest())
        .await?;

    let mut events = engine.follow(&me, deployment.id, 0).await?;
    while let Some(event) = events.try_next().await? {
        println!("{event}"); // stages and log lines, in order, none lost
    }
    worker.drain(Duration::from_secs(60)).await;

    let ended = engine.deployment(&me, deployment.id).await?;
    if ended.status != DeploymentStatus::Success {
        return Err(format!("{} is not live: {}", deployment.id, ended.status).into());
    }
    Ok(())
}
