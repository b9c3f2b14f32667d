//! What the processes of builds and releases may reach of this host, by the means of the
//! kernel.

mod reach;
mod rules;

use std::path::PathBuf;

use deployr_core::error::Fault;

pub use rules::Confinement;

use reach::Reach;
pub(super) use rules::Rules;

/// Which part of this host the processes of builds and releases may read.
///
/// They are confined by the kernel's Landlock (Linux 5.13 or later): they read the system's
/// programs and the tools on the engine's `PATH`, write to the few folders that are given
/// to them, cannot signal any other process (Linux 6.12 or later), and have no capability
/// even where the engine is root. Give the same one to
/// [`LocalBuilder`](crate::LocalBuilder) and to [`LocalExecutor`](crate::LocalExecutor).
///
/// The network is free, and so are sockets in the file system: a process of root's may
/// still ask a Docker daemon on this host.
///
/// ```
/// use deployr_exec::local::Sandbox;
///
/// let sandbox = Sandbox::new()
///     .private(["/var/lib/deployr"])
///     .tool_dirs(["/home/deploy/.rustup", "/home/deploy/.cargo/bin"]);
/// println!("{:?}", sandbox.confinement());
/// ```
#[derive(Debug, Clone)]
pub struct Sandbox {
    confine: bool,
    readable: Vec<PathBuf>,
    tool_dirs: Vec<PathBuf>,
    private: Vec<PathBuf>,
}

impl Sandbox {
    /// One that confines where the kernel can, with [`READABLE`](Self::READABLE) to read.
    #[must_use]
    pub fn new() -> Self {
        Self {
            confine: true,
            readable: Self::READABLE.iter().map(PathBuf::from).collect(),
            tool_dirs: Vec::new(),
            private: Vec::new(),
        }
    }

    /// Whether processes are confined at all; they are unless told otherwise.
    #[must_use]
    pub fn confine(mut self, confine: bool) -> Self {
        self.confine = confine;
        self
    }

    /// What of the system may be read and run, instead of [`READABLE`](Self::READABLE).
    /// A `*` at the end stands for any ending of the name. What is not there is left out.
    #[must_use]
    pub fn readable<P: Into<PathBuf>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        self.readable = paths.into_iter().map(Into::into).collect();
        self
    }

    /// Folders that may be read and run programs from, besides the system's and those of
    /// `PATH`: installations in somebody's home, above all.
    #[must_use]
    pub fn tool_dirs<P: Into<PathBuf>>(mut self, dirs: impl IntoIterator<Item = P>) -> Self {
        self.tool_dirs = dirs.into_iter().map(Into::into).collect();
        self
    }

    /// More [`tool_dirs`](Self::tool_dirs), or single files.
    #[cfg(feature = "local-builder")]
    pub(super) fn and_tools(mut self, paths: &[PathBuf]) -> Self {
        self.tool_dirs.extend_from_slice(paths);
        self
    }

    /// What may not be read wherever it lies, below a readable folder too: the folder with
    /// the engine's database and keys. The folders of builder and executor are private
    /// without being named here.
    #[must_use]
    pub fn private<P: Into<PathBuf>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        self.private = paths.into_iter().map(Into::into).collect();
        self
    }

    /// What keeps the processes away from the rest of this host.
    #[must_use]
    pub fn confinement(&self) -> Confinement {
        if self.confine {
            Confinement::of_kernel()
        } else {
            Confinement::None {
                reason: "it is switched off for this engine".to_owned(),
            }
        }
    }

    /// The sandbox for processes with these folders of their own. Reads the file system:
    /// not for the threads of a runtime.
    pub(super) fn enter(&self, own: Own) -> Result<Cell, Fault> {
        if let Confinement::None { .. } = self.confinement() {
            return Ok(Cell {
                path: reach::whole_path(),
                rules: None,
            });
        }
        let reach = Reach::new(self, own);
        Ok(Cell {
            path: reach.search_path(),
            rules: Some(reach.rules()?),
        })
    }
}

impl Default for Sandbox {
    fn default() -> Self {
        Self::new()
    }
}

/// The folders of some processes' own.
#[derive(Debug, Default)]
pub(super) struct Own {
    /// May not be read, save what follows.
    pub(super) private: Vec<PathBuf>,
    /// May be read and run.
    pub(super) readable: Vec<PathBuf>,
    /// May be changed too.
    pub(super) writable: Vec<PathBuf>,
}

/// What confined processes are started with.
#[derive(Debug)]
pub(super) struct Cell {
    /// The engine's `PATH`, as far as they can use it.
    pub(super) path: String,
    /// None where they are not confined.
    pub(super) rules: Option<Rules>,
}
