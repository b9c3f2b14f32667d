//! The database that many machines share.

use std::sync::Arc;

use deployr_core::bus::EventBus;
use deployr_core::engine::EngineBuilder;

use crate::config::Database;
#[cfg(not(feature = "postgres"))]
use crate::exit::Error;
use crate::exit::Result;

/// An engine over it, and what tells it of other machines.
#[cfg(feature = "postgres")]
pub(crate) async fn engine(database: &Database) -> Result<(EngineBuilder, Arc<dyn EventBus>)> {
    use deployr_core::engine::Engine;

    let store = open(database).await?;
    let bus = store.bus().await?;
    let builder = Engine::builder().store(Arc::new(store));
    Ok((builder.targets_elsewhere(true), Arc::new(bus)))
}

/// Brings its tables up to date.
#[cfg(feature = "postgres")]
pub(crate) async fn migrate(database: &Database) -> Result<()> {
    open(database).await.map(drop)
}

#[cfg(feature = "postgres")]
async fn open(database: &Database) -> Result<deployr_store::PgStore> {
    let opened = deployr_store::PgStore::open(database.url()).await;
    opened.map_err(|error| {
        crate::exit::Error::from(error).hint(format!("the database is {database}"))
    })
}

#[cfg(not(feature = "postgres"))]
pub(crate) async fn engine(database: &Database) -> Result<(EngineBuilder, Arc<dyn EventBus>)> {
    Err(without(database))
}

#[cfg(not(feature = "postgres"))]
pub(crate) async fn migrate(database: &Database) -> Result<()> {
    Err(without(database))
}

#[cfg(not(feature = "postgres"))]
fn without(database: &Database) -> Error {
    Error::usage(format!("this deployr cannot use {database}"))
        .hint("build it with its feature `postgres`, which it has by default")
}
