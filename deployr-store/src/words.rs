//! Words that are stored, the same in each database.

use deployr_core::model::{Fence, Job};

/// The engine's name in the audit log.
pub(crate) const ENGINE: &str = "deployr";

/// Why a job whose worker is gone was taken from it.
pub(crate) const LEASE_EXPIRED: &str = "the worker was lost";

/// Why a job has failed that was not begun in time, or not begun again.
pub(crate) fn queue_timeout(job: &Job) -> &'static str {
    match job.fence {
        Fence(0) => "not started in time: no worker took it, or its turn did not come",
        _ => {
            "not taken up again in time: it had begun, and since its worker was lost or gave it \
             back no other took it. What it did until then is left as it is: if it was a \
             deployment, what is live on the target may be its release"
        }
    }
}

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
