//! An engine with nothing in its way: over a store, and with parts that are not used.

use std::path::Path;
use std::sync::Arc;

use deployr_core::bus::EventBus;
use deployr_core::engine::{Engine, EngineBuilder};
use deployr_core::secret::{KeyId, KeyRing};
use deployr_core::store::Store;
use deployr_exec::{LocalBuilder, LocalExecutor};
use deployr_github::GitSource;

use crate::Error;

/// Its parts keep what they have in `folder`.
pub(crate) fn engine(
    store: Arc<dyn Store>,
    bus: Arc<dyn EventBus>,
    folder: &Path,
) -> Result<EngineBuilder, Error> {
    Ok(Engine::builder()
        .store(store)
        .bus(bus)
        .source(Arc::new(GitSource::new(folder.join("mirrors"))))
        .builder(Arc::new(LocalBuilder::new(folder.join("builds"))))
        .executor("local", Arc::new(LocalExecutor::new(folder.join("sites"))))
        .keys(KeyRing::new(vec![(KeyId::parse("k1")?, [7; 32])])?))
}
