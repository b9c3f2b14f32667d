//! Words that are stored, the same in each database.

/// The engine's name in the audit log.
pub(crate) const ENGINE: &str = "deployr";

/// Why a job whose worker is gone was taken from it.
pub(crate) const LEASE_EXPIRED: &str = "the worker was lost";

/// Why a job that was never begun has failed.
pub(crate) const QUEUE_TIMEOUT: &str =
    "not started in time: no worker took it, or its turn did not come";

/// The call by which a worker gave a claim up. Noted, so that the same call made again
/// is known, and a call after a sweep is not taken for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndedBy {
    Complete,
    Finish,
    Fail,
    Release,
}

impl EndedBy {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Finish => "finish",
            Self::Fail => "fail",
            Self::Release => "release",
        }
    }
}
