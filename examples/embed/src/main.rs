//! The shortest useful program with the engine in it: deploys one repository to a
//! folder of this machine, and prints what happens.
//!
//! ```text
//! cargo run -p deployr-embed-example -- https://github.com/acme/blog.git
//! ls site-data/sites/*/current/
//! ```
#![allow(clippy::print_stdout, reason = "it is a program")]

use std::sync::Arc;
use std::time::Duration;

use deployr_core::engine::{DeployRequest, Engine, ProjectRequest};
use deployr_core::model::Actor;
use deployr_core::notifier::LogNotifier;
use deployr_core::secret::KeyRing;
use deployr_core::value::{GitUrl, TenantId};
use deployr_exec::{LocalBuilder, LocalExecutor};
use deployr_github::GitSource;
use deployr_store::SqliteStore;

/// For a first look; keep yours in a secret place. `openssl rand -base64 32` makes one.
const KEY: &str = "k1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = GitUrl::parse(std::env::args().nth(1).ok_or("which repository?")?)?;
    let keys = std::env::var("DEPLOYR_KEYS").unwrap_or_else(|_| KEY.into());

    let engine = Engine::builder()
        .store(Arc::new(SqliteStore::open("site-data/deployr.db").await?))
        .source(Arc::new(GitSource::new("site-data/mirrors")))
        .builder(Arc::new(LocalBuilder::new("site-data/builds")))
        .executor("local", Arc::new(LocalExecutor::new("site-data/sites")))
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
    Ok(())
}
