use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Labels, Limit};
use crate::system::Timestamp;
use crate::value::{JobKind, ScheduleName, TenantId, Timetable};

/// A job that comes again and again.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Schedule {
    /// Whose it is.
    pub tenant: TenantId,
    /// Its key, unique in the tenant.
    pub name: ScheduleName,
    /// When it comes.
    pub timetable: Timetable,
    /// What comes.
    pub job: JobTemplate,
    /// When it comes next; none until that was reckoned, which a scheduler does soon.
    pub next_at: Option<Timestamp>,
    /// The time that it came for last.
    pub last_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed last, or came.
    pub updated_at: Timestamp,
}

impl Schedule {
    /// A schedule that has not come yet. For those who write a store.
    #[must_use]
    pub fn new(
        tenant: TenantId,
        name: ScheduleName,
        timetable: Timetable,
        job: JobTemplate,
        now: Timestamp,
    ) -> Self {
        Self {
            tenant,
            name,
            timetable,
            job,
            next_at: None,
            last_at: None,
            created_at: now,
            updated_at: now,
        }
    }
}

/// A job but for its id and its time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobTemplate {
    /// What its handler is found by.
    pub kind: JobKind,
    /// For its handler. Never a secret: it is stored as it is.
    pub input: serde_json::Value,
    /// Those with more come first.
    pub priority: i16,
    /// What it shares with other jobs. With a key of its own and one place in it, one does
    /// not begin while the one before still runs.
    pub limits: Vec<Limit>,
    /// What a worker must offer.
    pub needs: Labels,
    /// How often it is tried at most.
    pub max_attempts: u32,
    /// It fails where it has not begun after so long.
    pub start_within: Duration,
}

impl JobTemplate {
    /// What any worker of its kind may begin at once, within a day, and try up to five
    /// times.
    #[must_use]
    pub fn new(kind: JobKind, input: serde_json::Value) -> Self {
        Self {
            kind,
            input,
            priority: 0,
            limits: Vec::new(),
            needs: Labels::new(),
            max_attempts: 5,
            start_within: Duration::from_secs(24 * 60 * 60),
        }
    }
}
