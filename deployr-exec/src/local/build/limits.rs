use std::io;

use nix::sys::resource::{Resource, setrlimit};

/// What one build may use. Nothing here counts a whole build: the kernel holds each
/// of its processes to it.
///
/// ```
/// use deployr_exec::local::build::BuildLimits;
///
/// let limits = BuildLimits { memory_bytes: Some(8 << 30), ..BuildLimits::default() };
/// assert_eq!(limits.open_files, Some(65_536));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildLimits {
    /// Memory of each process that it can write to. 4 GiB.
    ///
    /// Set as `RLIMIT_DATA`. The better known `RLIMIT_AS` also counts addresses that
    /// are only reserved, of which node, Go and Java take many times what they use.
    pub memory_bytes: Option<u64>,
    /// Processes and threads of the user that the engine runs as, all together; the
    /// kernel does not hold root to it. 8,192.
    pub processes: Option<u64>,
    /// Size of a file that is written. 4 GiB.
    pub file_bytes: Option<u64>,
    /// Files that each process has open. 65,536, or what the engine itself may have.
    pub open_files: Option<u64>,
    /// Size of the artifact, all files together. 2 GiB.
    pub output_bytes: u64,
}

impl Default for BuildLimits {
    fn default() -> Self {
        Self {
            memory_bytes: Some(4 << 30),
            processes: Some(8_192),
            file_bytes: Some(4 << 30),
            open_files: Some(65_536),
            output_bytes: 2 << 30,
        }
    }
}

impl BuildLimits {
    /// Holds this process to the limits. Only system calls: it runs between fork and exec.
    pub(super) fn apply(&self) -> io::Result<()> {
        lower(Resource::RLIMIT_DATA, self.memory_bytes)?;
        lower(Resource::RLIMIT_NPROC, self.processes)?;
        lower(Resource::RLIMIT_FSIZE, self.file_bytes)?;
        lower(Resource::RLIMIT_NOFILE, self.open_files)?;
        // A dump of a build's memory would hold its secrets.
        lower(Resource::RLIMIT_CORE, Some(0))
    }
}

fn lower(resource: Resource, limit: Option<u64>) -> io::Result<()> {
    let Some(limit) = limit else { return Ok(()) };
    let (_, hard) = nix::sys::resource::getrlimit(resource)?;
    let limit = limit.min(hard);
    Ok(setrlimit(resource, limit, limit)?)
}
