//! The file of settings.

use std::path::Path;

use super::layer::{CONCURRENCY, KEEP_LOG_DAYS, LEASE_SECONDS, Layer, SWARM_REPLICAS};
use crate::exit::{Error, Result};

/// The file that is read where `--config` names none, in the data directory.
const FILE: &str = "deployr-server.toml";

/// What lies in the data directory; nothing where there is none.
pub(super) fn beside_the_data(data: &Path) -> Result<Layer> {
    let path = data.join(FILE);
    if !path.exists() {
        return Ok(Layer::default());
    }
    let file = read(&path)?;
    match file.data {
        Some(_) => Err(Error::usage(format!(
            "{}: `data` means nothing in a file that lies there",
            path.display()
        ))
        .hint("leave it out, or name the file with --config")),
        None => Ok(file),
    }
}

/// What is in the file, held to the rules of the flags.
pub(super) fn read(path: &Path) -> Result<Layer> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Error::io(format!("read {}", path.display()), error))?;
    let layer: Layer = toml::from_str(&text)
        .map_err(|error| Error::usage(format!("{}: {error}", path.display())))?;
    // As for the flags, where the command line checks it.
    for (key, number, range) in [
        ("concurrency", layer.concurrency, CONCURRENCY),
        ("lease_seconds", layer.lease_seconds, LEASE_SECONDS),
        ("keep_log_days", layer.keep_log_days, KEEP_LOG_DAYS),
        ("swarm_replicas", layer.swarm_replicas, SWARM_REPLICAS),
    ] {
        if let Some(number) = number.filter(|number| !range.contains(&i64::from(*number))) {
            let (min, max, path) = (range.start(), range.end(), path.display());
            return Err(Error::usage(format!(
                "{path}: {key} must be from {min} to {max}, and is {number}"
            )));
        }
    }
    Ok(layer)
}
