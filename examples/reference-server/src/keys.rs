//! The keys that secrets are sealed with.

use std::io::{ErrorKind, Write};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use deployr_core::secret::KeyRing;
use deployr_core::system::{Entropy, SystemEntropy};

use crate::data::DataDir;
use crate::exit::{Error, Result};

const VARIABLE: &str = "DEPLOYR_KEYS";

/// The keys of the environment, or those of the data directory, made at first use where
/// `may_make` says so.
pub(crate) fn load(data: &DataDir, may_make: bool) -> Result<KeyRing> {
    if let Ok(text) = std::env::var(VARIABLE) {
        return KeyRing::parse(&text).map_err(|error| Error::usage(format!("{VARIABLE}: {error}")));
    }
    let path = data.keys();
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound && !may_make => {
            return Err(Error::usage(format!(
                "there are no keys in {}, and all machines of a database need the same",
                path.display()
            ))
            .hint(format!(
                "`deployr migrate` makes them on the first; copy that file to the others, or \
                 set {VARIABLE}"
            )));
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            create(&path).map_err(|error| Error::io(format!("write {}", path.display()), error))?
        }
        Err(error) => return Err(Error::io(format!("read {}", path.display()), error)),
    };
    KeyRing::parse(&text).map_err(|error| {
        Error::fault(format!("{}: {error}", path.display()))
            .hint("put the file back from a backup; without it the stored variables cannot be read")
    })
}

/// Whether there are keys, so that none would be made.
pub(crate) fn are_there(data: &DataDir) -> bool {
    std::env::var_os(VARIABLE).is_some() || data.keys().is_file()
}

/// Whole or not at all, and the first of two processes wins.
fn create(path: &Path) -> std::io::Result<String> {
    let mut key = [0; 32];
    SystemEntropy.fill(&mut key);
    let text = format!("k1:{}\n", STANDARD.encode(key));
    // Mode 0600 from the beginning.
    let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(Path::new(".")))?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Ok(_) => Ok(text),
        Err(refused) if refused.error.kind() == ErrorKind::AlreadyExists => {
            std::fs::read_to_string(path)
        }
        Err(refused) => Err(refused.error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret.key");
        let made = create(&path).unwrap();
        assert_eq!(create(&path).unwrap(), made);
        assert!(KeyRing::parse(&made).is_ok());
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
}
