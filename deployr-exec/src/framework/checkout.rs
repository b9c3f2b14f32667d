use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use deployr_core::error::{Fault, StepResult};
use deployr_core::value::RelPath;

use super::invalid;

/// What a configuration file may have. Anything larger is not one.
const MAX_BYTES: u64 = 256 * 1024;

/// A checkout, written by strangers: whatever is asked of it is first resolved, and
/// never leads out of it.
#[derive(Debug)]
pub(super) struct Checkout(PathBuf);

impl Checkout {
    pub(super) fn open(dir: &Path) -> StepResult<Self> {
        let top = fs::canonicalize(dir)
            .map_err(|error| Fault::io("reading", format!("checkout {}", dir.display()), error))?;
        Ok(Self(top))
    }

    /// The folder `root` of it.
    pub(super) fn folder(&self, root: Option<&RelPath>) -> StepResult<Folder<'_>> {
        let Some(root) = root else {
            return Ok(Folder {
                checkout: self,
                path: self.0.clone(),
                name: String::new(),
            });
        };
        let refuse = |why: &str| invalid(format!("root is invalid: `{root}` {why}"));
        match self.resolve(&root.under(&self.0)) {
            Ok(Some(path)) if path.is_dir() => Ok(Folder {
                checkout: self,
                path,
                name: root.to_string(),
            }),
            Ok(Some(_)) => Err(refuse("is not a folder")),
            Ok(None) => Err(refuse("leads out of the checkout")),
            Err(_) => Err(refuse("is not in the repository")),
        }
    }

    /// Where a path really is; none where that is outside.
    fn resolve(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        let real = fs::canonicalize(path)?;
        Ok(real.starts_with(&self.0).then_some(real))
    }
}

/// A folder of a checkout.
#[derive(Debug)]
pub(super) struct Folder<'a> {
    checkout: &'a Checkout,
    path: PathBuf,
    name: String,
}

impl Folder<'_> {
    /// The folder as people would call it.
    pub(super) fn place(&self) -> String {
        match self.name.as_str() {
            "" | "." => "the root of the repository".to_owned(),
            name => format!("`{name}`"),
        }
    }

    pub(super) fn has(&self, file: &str) -> bool {
        matches!(self.checkout.resolve(&self.path.join(file)), Ok(Some(path)) if path.is_file())
    }

    /// Whether the file is here or in a folder above, as a workspace's lock file is.
    pub(super) fn has_above(&self, file: &str) -> bool {
        let inside = |dir: &&Path| dir.starts_with(&self.checkout.0);
        self.path
            .ancestors()
            .take_while(inside)
            .any(|dir| dir.join(file).is_file())
    }

    /// The text of a file; none where there is none.
    pub(super) fn read(&self, file: &str) -> StepResult<Option<String>> {
        let named = match self.name.as_str() {
            "" | "." => file.to_owned(),
            name => format!("{name}/{file}"),
        };
        let fault = |error| Fault::io("reading", format!("`{named}`"), error);
        let path = match self.checkout.resolve(&self.path.join(file)) {
            Ok(Some(path)) => path,
            Ok(None) => return Err(invalid(format!("`{named}` is a link out of the checkout"))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(fault(error).into()),
        };
        // Before it is opened: that of a pipe would wait for a writer.
        if !path.is_file() {
            return Err(invalid(format!("`{named}` is not a file")));
        }
        let mut bytes = Vec::new();
        fs::File::open(&path)
            .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
            .map_err(fault)?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(invalid(format!("`{named}` is larger than 256 KiB")));
        }
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(invalid(format!("`{named}` is not UTF-8 text"))),
        }
    }
}
