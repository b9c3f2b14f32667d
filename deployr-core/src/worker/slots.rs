//! The jobs that a worker carries out at the same time.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use super::Shared;
use super::ahead::Queue;
use super::carrying_out::carry_out;
use super::handover::Finished;
use crate::job::JobContext;
use crate::model::Lease;

/// How many short jobs a task carries out before it tells of them, and for how long it goes
/// on: a task for each would cost more than what many of them do.
const MANY: usize = 32;
const WHILE: Duration = Duration::from_millis(2);

/// A task for each slot that is taken. Short jobs are told from others, because only their ends
/// make way for those that were claimed ahead.
#[derive(Default)]
pub(super) struct Slots {
    short: JoinSet<Vec<Finished>>,
    long: JoinSet<Vec<Finished>>,
}

impl Slots {
    pub(super) fn taken(&self) -> u32 {
        self.short.len() as u32 + self.long()
    }

    /// How many are taken by jobs that are not short.
    pub(super) fn long(&self) -> u32 {
        self.long.len() as u32
    }

    /// Begins a job in a free slot. Behind a short one, those that are next may follow.
    pub(super) fn begin(
        &mut self,
        shared: &Arc<Shared>,
        lease: Lease,
        ctx: JobContext,
        next: &Queue,
    ) {
        let shared = shared.clone();
        if shared.is_short(&lease.job.kind) {
            let next = next.clone();
            self.short
                .spawn(async move { carry_out_some(&shared, lease, ctx, &next).await });
        } else {
            self.long.spawn(async move {
                let finished = carry_out(&shared, lease, ctx).await;
                finished.into_iter().collect()
            });
        }
    }

    /// What has ended already in one of them.
    pub(super) fn try_ended(&mut self) -> Option<Vec<Finished>> {
        let ended = self.short.try_join_next();
        ended.or_else(|| self.long.try_join_next()).map(finished)
    }

    /// What ends next; none where none is taken.
    pub(super) async fn ended(&mut self) -> Option<Vec<Finished>> {
        let ended = tokio::select! {
            biased;
            Some(ended) = self.short.join_next() => ended,
            Some(ended) = self.long.join_next() => ended,
            else => return None,
        };
        Some(finished(ended))
    }
}

async fn carry_out_some(
    shared: &Shared,
    lease: Lease,
    ctx: JobContext,
    next: &Queue,
) -> Vec<Finished> {
    let began = Instant::now();
    let mut finished = Vec::new();
    finished.extend(carry_out(shared, lease, ctx).await);
    while finished.len() < MANY
        && began.elapsed() < WHILE
        && let Some((lease, ctx)) = next.next(shared)
    {
        finished.extend(carry_out(shared, lease, ctx).await);
    }
    finished
}

fn finished(ended: Result<Vec<Finished>, JoinError>) -> Vec<Finished> {
    ended.unwrap_or_default()
}
