//! How a worker works.

use std::time::Duration;

use crate::engine::Engine;
use crate::model::Labels;
use crate::store::Retention;
use crate::value::Label;

/// How a worker works. See [`Engine::worker`].
#[derive(Debug, Clone)]
pub struct WorkerBuilder {
    pub(super) engine: Engine,
    pub(super) concurrency: u32,
    pub(super) ahead: u32,
    pub(super) lease: Duration,
    pub(super) poll: Duration,
    pub(super) sweep: Duration,
    pub(super) retention: Option<Retention>,
    pub(super) alone: bool,
    pub(super) offers: Labels,
    pub(super) node: String,
}

impl Engine {
    /// A worker that carries out this engine's jobs in this process, with a scheduler
    /// beside it.
    ///
    /// ```no_run
    /// # async fn example(engine: deployr_core::engine::Engine) {
    /// let worker = engine.worker().concurrency(4).spawn();
    /// // ... until the process is asked to end:
    /// worker.drain(std::time::Duration::from_secs(60)).await;
    /// # }
    /// ```
    #[must_use]
    pub fn worker(&self) -> WorkerBuilder {
        WorkerBuilder {
            engine: self.clone(),
            concurrency: 2,
            ahead: 2_000,
            lease: Duration::from_secs(60),
            poll: Duration::from_secs(1),
            sweep: Duration::from_secs(1),
            retention: Some(Retention::default()),
            alone: false,
            offers: Labels::new(),
            node: String::new(),
        }
    }
}

impl WorkerBuilder {
    /// How many jobs at a time. At least 1; 2 where not set.
    #[must_use]
    pub fn concurrency(mut self, jobs: u32) -> Self {
        self.concurrency = jobs.max(1);
        self
    }

    /// How many [short](crate::job::JobHandler::short) jobs it may hold besides those that it
    /// carries out, so that the next are there when a slot gets free. At most 10,000; none
    /// where 0; 2,000 where not set. Jobs of other kinds are never claimed before there is a
    /// free slot.
    #[must_use]
    pub fn ahead(mut self, jobs: u32) -> Self {
        self.ahead = jobs.min(10_000);
        self
    }

    /// How long a claim holds without a heartbeat; they come four times as often. A lost
    /// worker's job is taken up again after this long. 60 s where not set; at least 1 s.
    #[must_use]
    pub fn lease(mut self, term: Duration) -> Self {
        self.lease = term.max(Duration::from_secs(1));
        self
    }

    /// How often the store is asked for work that no hint has told of. 1 s where not set.
    #[must_use]
    pub fn poll(mut self, every: Duration) -> Self {
        self.poll = every.max(Duration::from_millis(1));
        self
    }

    /// How often the scheduler sweeps. 1 s where not set.
    #[must_use]
    pub fn sweep(mut self, every: Duration) -> Self {
        self.sweep = every.max(Duration::from_millis(1));
        self
    }

    /// What it has to offer to jobs that need something: they are given only to workers
    /// that offer all of it. Nothing where not set, save the [targets](Label::target) of
    /// the engine, which it always offers. Said again, the last holds.
    #[must_use]
    pub fn offers(mut self, labels: impl IntoIterator<Item = Label>) -> Self {
        self.offers = labels.into_iter().collect();
        self
    }

    /// The name of the machine, by which people know it; empty where not said.
    #[must_use]
    pub fn node(mut self, name: impl Into<String>) -> Self {
        self.node = name.into();
        self
    }

    /// How long what is over is kept; where none, for ever. As [`Retention::default`] has it
    /// where not said. Looked after by the scheduler beside each worker, once an hour and in
    /// small batches.
    #[must_use]
    pub fn retention(mut self, keep: Option<Retention>) -> Self {
        self.retention = keep;
        self
    }

    /// Says that no other worker lives on this store, by a lock that the caller holds for
    /// as long as this one works: what a dead one held is taken up at once, and not only
    /// when its leases have run out. Not so where not said.
    ///
    /// Said wrongly, jobs are taken from workers that live. Their writes are refused from
    /// then on, as after any lost lease, but their work is done again.
    #[must_use]
    pub fn alone(mut self, alone: bool) -> Self {
        self.alone = alone;
        self
    }
}
