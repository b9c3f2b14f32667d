//! Starts lines of the user's: the process of a release, and its health command.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use deployr_core::command::Command;
use deployr_core::error::{Fault, StepError, StepResult, VerdictCode};
use deployr_core::executor::ReleaseSpec;
use deployr_core::value::{BuildCommand, EnvSet, RelPath};
use tokio::process::Child;

use super::env::{self, Place};
use super::layout::Layout;
use crate::local::sandbox::{Own, Rules, Sandbox};

/// What the processes of a release have around them.
#[derive(Debug, Clone)]
pub(super) struct Surroundings {
    pub(super) layout: Layout,
    pub(super) number: i64,
    env: EnvSet,
    pub(super) writable: Vec<RelPath>,
    sandbox: Sandbox,
}

impl Surroundings {
    pub(super) fn new(layout: Layout, spec: &ReleaseSpec, sandbox: Sandbox) -> Self {
        Self {
            layout,
            number: spec.number,
            env: spec.env.clone(),
            writable: spec.recipe.writable.clone(),
            sandbox,
        }
    }

    /// Runs a line in a session of its own, so that neither the engine's terminal nor its
    /// end reaches it. Output goes straight to the file, which no pipe to an engine that
    /// has died can break.
    pub(super) fn shell(
        &self,
        line: &BuildCommand,
        port: Option<u16>,
        mark: &Path,
        output: File,
    ) -> StepResult<Child> {
        let release = self.layout.release(self.number);
        let fault = |error| Fault::io("start", mark.display(), error);
        let scratch = self.layout.scratch(self.number);
        let mut private = DirBuilder::new();
        private
            .recursive(true)
            .mode(0o700)
            .create(&scratch)
            .map_err(fault)?;
        let cell = self.sandbox.enter(Own {
            private: vec![self.layout.root().to_owned()],
            readable: vec![release.clone()],
            writable: self.writable(&release, &scratch)?,
        })?;
        let variables = env::variables(
            &self.env,
            Place {
                number: self.number,
                port,
                mark,
                path: cell.path,
                scratch: &scratch,
            },
        );
        let command = Command::shell(line.as_str());
        let mut process = tokio::process::Command::new(&command.program);
        process
            .args(&command.args)
            .current_dir(&release)
            .env_clear()
            .envs(variables)
            .stdin(Stdio::null())
            .stdout(output.try_clone().map_err(fault)?)
            .stderr(output);
        let mut rules = cell.rules;
        #[expect(unsafe_code, reason = "system calls may be made between fork and exec")]
        // SAFETY: the closure makes system calls only, and allocates nothing.
        unsafe {
            process.pre_exec(move || enter(rules.take()));
        }
        Ok(process.spawn().map_err(fault)?)
    }

    /// The folders that the recipe lets it write to, and those that are its own to change.
    fn writable(&self, release: &Path, scratch: &Path) -> StepResult<Vec<PathBuf>> {
        let real = |path: &Path| {
            fs::canonicalize(path).map_err(|error| Fault::io("read", path.display(), error))
        };
        let (release, shared) = (real(release)?, real(&self.layout.shared())?);
        let mut folders = vec![real(scratch)?, shared.clone()];
        for path in self.outermost() {
            match fs::canonicalize(path.under(&release)) {
                Ok(folder) if folder.starts_with(&shared) => {} // granted already
                Ok(folder) if folder.starts_with(&release) => folders.push(folder),
                Ok(_) => {
                    let message = format!(
                        "writable is invalid: `{path}` leads out of the release; name a folder in it"
                    );
                    return Err(StepError::verdict(VerdictCode::ConfigInvalid, message));
                }
                // Its release was made before it was named.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(Fault::io("read", path, error).into()),
            }
        }
        Ok(folders)
    }

    /// The writable paths that do not lie in another one. Those that do come with it, and
    /// are not even looked at: a process that may write there may have put links there.
    fn outermost(&self) -> impl Iterator<Item = &RelPath> {
        let holds = |outer: &RelPath, path: &RelPath| {
            outer != path && (outer.as_str() == "." || path.as_path().starts_with(outer.as_path()))
        };
        self.writable
            .iter()
            .filter(move |path| !self.writable.iter().any(|outer| holds(outer, path)))
    }
}

/// In the child, between fork and exec.
fn enter(rules: Option<Rules>) -> io::Result<()> {
    nix::unistd::setsid()?;
    rules.map_or(Ok(()), Rules::impose)
}
