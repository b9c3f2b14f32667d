//! Short jobs that were claimed before there was a free slot for them. They are held by
//! leases as those that run are, and begun in the order in which they were claimed.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use tokio::time::Instant;

use super::Shared;
use super::claiming::CALLS;
use crate::bus::Hint;
use crate::job::JobContext;
use crate::model::Lease;
use crate::retry;
use crate::store::StoreError;

/// Half of what a claim ahead has brought is to be begun within this time: then the next may
/// be twice as large; and half as large where it takes four times as long. So what is held back
/// from other workers is a moment's work, however long the jobs take that are called short.
const MOMENT: Duration = Duration::from_millis(50);

/// For so long, at most, a worker claims ahead without having asked for jobs of all kinds, for
/// which slots must get free.
const TURN: Duration = Duration::from_millis(200);

/// How many jobs are handed back at a time.
const HANDS: usize = 8;

/// Jobs in the order in which they are to be begun. Clones are the same queue.
#[derive(Clone, Default)]
pub(super) struct Queue(Arc<Mutex<VecDeque<(Lease, JobContext)>>>);

impl Queue {
    fn lock(&self) -> MutexGuard<'_, VecDeque<(Lease, JobContext)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next to be begun, none when the worker drains. Those whose lease was lost meanwhile
    /// are left to others.
    pub(super) fn next(&self, shared: &Shared) -> Option<(Lease, JobContext)> {
        loop {
            if shared.drain.is_cancelled() {
                return None;
            }
            let (lease, ctx) = self.lock().pop_front()?;
            if !ctx.lost.is_cancelled() {
                return Some((lease, ctx));
            }
            let job = lease.job.id;
            shared.let_go(&lease.claim, &StoreError::LeaseLost { job });
        }
    }
}

/// The jobs that were claimed ahead.
pub(super) struct Ahead {
    jobs: Queue,
    /// How many more were asked for.
    coming: u32,
    /// How many there may be.
    size: u32,
    most: u32,
    /// When jobs of all kinds were last asked for, if as many came: there may be more.
    plenty: Option<Instant>,
    /// When the last came.
    filled: Instant,
    /// How many are left when half of those are begun, while that is to come.
    fresh: Option<usize>,
}

impl Ahead {
    /// None yet; and none ever where no kind is short.
    pub(super) fn new(shared: &Shared) -> Self {
        let short = shared.engine.handlers.values().any(|one| one.short());
        let most = if short { shared.options.ahead } else { 0 };
        Self {
            jobs: Queue::default(),
            coming: 0,
            size: (shared.options.concurrency * 2).min(most),
            most,
            plenty: None,
            filled: Instant::now(),
            fresh: None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.jobs.lock().is_empty()
    }

    /// What is there.
    pub(super) fn jobs(&self) -> &Queue {
        &self.jobs
    }

    /// Takes note of how quickly they are begun.
    pub(super) fn look(&mut self) {
        let left = self.jobs.lock().len();
        if self.fresh.is_some_and(|half| left <= half) {
            self.fresh = None;
            self.pace(self.filled.elapsed());
        }
    }

    fn pace(&mut self, took: Duration) {
        if took < MOMENT {
            self.size = (self.size * 2).min(self.most);
        } else if took > MOMENT * 4 {
            self.size = (self.size / 2).max(1);
        }
    }

    /// How many to claim ahead now, one call's share of what there may be; none when it is not
    /// the time, or jobs of all kinds have to be asked for first.
    pub(super) fn room(&self) -> Option<u32> {
        let plenty = self.plenty.filter(|asked| asked.elapsed() < TURN);
        let share = self.size.div_ceil(CALLS as u32);
        let room = self
            .size
            .saturating_sub(self.jobs.lock().len() as u32 + self.coming);
        (plenty.is_some() && share > 0 && room >= share).then_some(share)
    }

    /// Takes note of a claim ahead that is sent.
    pub(super) fn ask(&mut self, jobs: u32) {
        self.coming += jobs;
    }

    /// Takes note that its answer, of whatever sort, is there.
    pub(super) fn answered(&mut self, jobs: u32) {
        self.coming = self.coming.saturating_sub(jobs);
    }

    /// Takes note of a claim for free slots that came back: `full` says that there may be
    /// more jobs than it had room for.
    pub(super) fn asked(&mut self, full: bool) {
        self.plenty = full.then(Instant::now);
    }

    /// Adds what a claim ahead has brought: not `full`, there are no more.
    pub(super) fn fill(&mut self, jobs: Vec<(Lease, JobContext)>, full: bool) {
        let mut queue = self.jobs.lock();
        queue.extend(jobs);
        self.filled = Instant::now();
        self.fresh = full.then_some(queue.len() / 2);
        drop(queue);
        if !full {
            self.plenty = None;
        }
    }

    /// How long what is there may wait yet before others should have it; none when nothing is.
    pub(super) fn patience(&self, lease: Duration) -> Option<Duration> {
        let left = (lease / 4).saturating_sub(self.filled.elapsed());
        (!self.is_empty()).then_some(left)
    }

    /// Hands all back to the queue, unharmed.
    pub(super) async fn hand_back(&mut self, shared: &Shared) {
        let jobs = std::mem::take(&mut *self.jobs.lock());
        if jobs.is_empty() {
            return;
        }
        let back = |(lease, ctx): (Lease, JobContext)| async move {
            let (claim, job) = (&lease.claim, lease.job.id);
            let back = retry::until_stored(&ctx.lost, &shared.engine.trouble, job, || {
                shared.engine.store.release(claim)
            });
            match back.await {
                Ok(()) => drop(shared.held().remove(claim)),
                Err(error) => shared.let_go(claim, &error),
            }
        };
        futures::stream::iter(jobs)
            .for_each_concurrent(HANDS, back)
            .await;
        shared.engine.bus.publish(Hint::Jobs);
    }
}
