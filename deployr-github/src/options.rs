use std::path::PathBuf;
use std::time::Duration;

use crate::transport::Proxies;

/// What a repository may cost.
#[derive(Debug, Clone)]
pub struct GitLimits {
    /// Bytes that one fetch may receive, and that one checkout may write. 2 GiB.
    pub max_bytes: u64,
    /// Bytes of one file, since a file is held in memory while it is written.
    /// 512 MiB.
    pub max_file_bytes: u64,
    /// Files, folders and links of one checkout. 500,000.
    pub max_files: usize,
    /// How long one fetch may take. 10 minutes.
    pub timeout: Duration,
}

impl Default for GitLimits {
    fn default() -> Self {
        Self {
            max_bytes: 2 << 30,
            max_file_bytes: 512 << 20,
            max_files: 500_000,
            timeout: Duration::from_secs(600),
        }
    }
}

/// All that the operator decides.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) mirrors: PathBuf,
    pub(crate) limits: GitLimits,
    pub(crate) allow_local: bool,
    pub(crate) allow_private_hosts: bool,
    pub(crate) known_hosts: Option<PathBuf>,
    pub(crate) proxies: Option<Proxies>,
}
