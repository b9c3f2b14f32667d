use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{JobId, WorkerId};
use crate::system::{Timestamp, later};
use crate::value::{ConcurrencyKey, JobKind, Label, TenantId};

/// One unit of scheduled work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Its key.
    pub id: JobId,
    /// Whose work it is.
    pub tenant: TenantId,
    /// Which handler carries it out. A worker only claims kinds that it knows.
    pub kind: JobKind,
    /// What the handler needs to know; never a secret.
    pub input: serde_json::Value,
    /// Those with a higher one come first. 0 where nothing else is said.
    pub priority: i16,
    /// How many jobs may share what it needs.
    pub limits: Vec<Limit>,
    /// What a worker must offer to be given it.
    pub needs: Labels,
    /// Where it stands.
    pub state: JobState,
    /// Not claimed before this time.
    pub run_at: Timestamp,
    /// How often it was claimed, without claims that were handed back unused.
    pub attempt: u32,
    /// After so many attempts a fault is final. At least 1.
    pub max_attempts: u32,
    /// Grows by one with each claim, for the whole life of the job.
    pub fence: Fence,
    /// Who holds it, while running.
    pub worker: Option<WorkerId>,
    /// Until when the holder may work without another heartbeat, while running.
    pub lease_until: Option<Timestamp>,
    /// A job that waits and has not started by then fails with a queue time-out. Always so
    /// long after `run_at` as it was given to start within: one that comes back to the queue
    /// has all of that again.
    pub start_by: Timestamp,
    /// Whoever holds it shall stop.
    pub cancel_requested: bool,
    /// The last fault, in words, without secrets.
    pub error: Option<String>,
    /// When it was enqueued.
    pub created_at: Timestamp,
    /// When it reached a final state.
    pub finished_at: Option<Timestamp>,
}

impl Job {
    /// Makes it due at another time, from when it has as long to start as it had before. For
    /// those who write a store.
    pub fn due_at(&mut self, run_at: Timestamp) {
        let within = (self.start_by - self.run_at).to_std().unwrap_or_default();
        self.run_at = run_at;
        self.start_by = later(run_at, within);
    }
}

/// Room for some jobs of a key at a time.
///
/// A job has a place of each of its keys from the moment when it is queued until it is
/// over, through all of its attempts. It is queued only while fewer than `max` others have
/// one; the others of the key wait, those of a higher priority first, then the oldest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// What is shared.
    pub key: ConcurrencyKey,
    /// How many places there are for jobs that say so. Jobs of a key should agree.
    pub max: NonZeroU32,
}

impl Limit {
    /// One job of the key at a time.
    #[must_use]
    pub fn one(key: ConcurrencyKey) -> Self {
        let max = NonZeroU32::MIN;
        Self { key, max }
    }
}

/// What a job needs, or a worker offers.
pub type Labels = BTreeSet<Label>;

/// Where a job stands. See [`state`](crate::state) for how it moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Waits for `run_at`, or for room in one of its limits; until `start_by` at the latest.
    Pending,
    /// May be claimed; until `start_by` at the latest.
    Queued,
    /// Held by a worker until `lease_until`.
    Running,
    /// Carried out, whatever its verdict was. Final.
    Completed,
    /// The machinery could not carry it out. Final.
    Failed,
    /// Called off. Final.
    Cancelled,
}

/// A number that grows with each claim of a job. A write that names an old one is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fence(pub i64);

/// Proof of a claim, named by every write of the worker that holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Claim {
    /// The job.
    pub job: JobId,
    /// The claim of that job.
    pub fence: Fence,
    /// Who claimed.
    pub worker: WorkerId,
}

/// A job in the hands of a worker.
#[derive(Debug, Clone)]
pub struct Lease {
    /// The job as it was when claimed.
    pub job: Job,
    /// What to name in every write.
    pub claim: Claim,
    /// How long the claim holds without a heartbeat, counted from the moment when
    /// the claim was *asked for*: a duration and not a time, so that no two clocks
    /// are ever compared.
    pub term: Duration,
}
