//! The jobs that a worker carries out at the same time.

use std::sync::Arc;

use tokio::task::{JoinError, JoinSet};

use super::handover::Finished;
use super::{Shared, carry_out};
use crate::job::JobContext;
use crate::model::Lease;

/// A task for each job in hand. Short jobs are told from others, because only their ends make
/// way for those that were claimed ahead.
#[derive(Default)]
pub(super) struct Slots {
    short: JoinSet<Option<Finished>>,
    long: JoinSet<Option<Finished>>,
}

impl Slots {
    pub(super) fn taken(&self) -> u32 {
        self.short.len() as u32 + self.long()
    }

    /// How many are taken by jobs that are not short.
    pub(super) fn long(&self) -> u32 {
        self.long.len() as u32
    }

    pub(super) fn begin(&mut self, shared: &Arc<Shared>, lease: Lease, ctx: JobContext) {
        let tasks = match shared.is_short(&lease.job.kind) {
            true => &mut self.short,
            false => &mut self.long,
        };
        tasks.spawn(carry_out(shared.clone(), lease, ctx));
    }

    /// One that has ended already.
    pub(super) fn try_ended(&mut self) -> Option<Option<Finished>> {
        let ended = self.short.try_join_next();
        ended.or_else(|| self.long.try_join_next()).map(finished)
    }

    /// The next to end; none where none is taken.
    pub(super) async fn ended(&mut self) -> Option<Option<Finished>> {
        let ended = tokio::select! {
            biased;
            Some(ended) = self.short.join_next() => ended,
            Some(ended) = self.long.join_next() => ended,
            else => return None,
        };
        Some(finished(ended))
    }
}

fn finished(ended: Result<Option<Finished>, JoinError>) -> Option<Finished> {
    ended.ok().flatten()
}
