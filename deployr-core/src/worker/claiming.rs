//! Hands in what is done and claims while there is room; jobs are begun and end meanwhile.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::time::Instant;

use super::Shared;
use super::ahead::Ahead;
use super::handover::{Answer, Call, Handover};
use super::slots::Slots;
use crate::bus::{Hint, Hints};
use crate::retry;
use crate::scheduler;
use crate::store::ClaimRequest;

/// How many calls to the store are on their way at most; only one of them if it is not for
/// short jobs. Measured with Postgres on two cores, each call for its share of what may be
/// claimed ahead: 3 carry out a seventh more jobs than 2, of which one mostly waits for the
/// disk; 4 and 8 fewer than 2.
pub(super) const CALLS: usize = 3;

/// Goes on until the worker drains and all that it has in hand is over. When there is nothing to
/// say to the store, waits for a hint, for a job to end, or for the poll.
pub(super) async fn run(shared: Arc<Shared>) {
    // Its jobs end with it, also where its runtime does: then nobody keeps their leases.
    let _ended = shared.ended.clone().drop_guard();
    let mut hints = shared.engine.bus.subscribe();
    let mut hand = Hand::new(&shared);
    let mut calls = FuturesUnordered::new();
    if shared.options.alone {
        take_over(&shared).await;
    }
    loop {
        hand.collect();
        let draining = shared.drain.is_cancelled();
        if calls.is_empty() {
            hand.give_back_stale(draining).await;
        }
        hand.begin_ahead();
        let mut nap = shared.options.poll;
        match hand.next(calls.len(), draining).await {
            Next::Call(call) => calls.push(call.make(&shared)),
            Next::Wait(wait) => nap = nap.min(wait),
            Next::Leave => return hand.handover.leave(&shared).await,
            Next::Nothing => {}
        }
        if calls.is_empty() {
            nap = nap.min(hand.patience());
        }
        // In order, here and elsewhere, so that a test is the same each time.
        tokio::select! {
            biased;
            () = shared.drain.cancelled(), if !draining => {}
            Some((asked, sent, answer)) = calls.next() => {
                // Where the store has failed, nothing is said to it until something happens.
                if !hand.take(asked, sent, answer) {
                    continue;
                }
            }
            () = wait_for_jobs(&mut hints), if !draining => hand.due = true,
            Some(ended) = hand.slots.ended() => {
                hand.handover.add(ended);
                hand.due |= hand.ahead.is_empty();
            }
            () = tokio::time::sleep(nap) => hand.due = true,
        }
        hand.stirred = true;
    }
}

/// What a worker has in hand.
struct Hand<'s> {
    shared: &'s Arc<Shared>,
    slots: Slots,
    ahead: Ahead,
    handover: Handover,
    /// There may be jobs that were not asked for.
    due: bool,
    /// Something has happened since the last call.
    stirred: bool,
}

/// What is to be done next.
enum Next {
    Call(Outgoing),
    Wait(Duration),
    /// All is over.
    Leave,
    Nothing,
}

/// A call, and what it asks for: so many jobs.
struct Outgoing {
    call: Call,
    asked: Option<(Ask, u32)>,
}

impl Outgoing {
    async fn make(self, shared: &Shared) -> (Option<(Ask, u32)>, Instant, Answer) {
        let sent = Instant::now();
        (self.asked, sent, self.call.make(shared).await)
    }
}

impl<'s> Hand<'s> {
    fn new(shared: &'s Arc<Shared>) -> Self {
        Self {
            shared,
            slots: Slots::default(),
            ahead: Ahead::new(shared),
            handover: Handover::default(),
            due: true,
            stirred: true,
        }
    }

    fn free(&self) -> u32 {
        self.shared.options.concurrency - self.slots.taken()
    }

    /// Takes what has ended out of the slots.
    fn collect(&mut self) {
        while let Some(ended) = self.slots.try_ended() {
            self.handover.add(ended);
            self.due |= self.ahead.is_empty();
        }
    }

    /// Gives back what was claimed ahead and will not be begun soon. No call may be on its way,
    /// which would not go on meanwhile.
    async fn give_back_stale(&mut self, draining: bool) {
        let stale = self.ahead.patience(self.shared.options.lease) == Some(Duration::ZERO);
        if draining || stale {
            self.ahead.hand_back(self.shared).await;
        }
    }

    /// Begins what was claimed ahead in the slots that are free.
    fn begin_ahead(&mut self) {
        while self.free() > 0
            && let Some((lease, ctx)) = self.ahead.jobs().next(self.shared)
        {
            self.slots.begin(self.shared, lease, ctx, self.ahead.jobs());
        }
        self.ahead.look();
    }

    /// What to say to the store, while `calls` are on their way to it.
    async fn next(&mut self, calls: usize, draining: bool) -> Next {
        // After a failure, only when something has happened.
        if calls >= CALLS || !(self.stirred || self.handover.is_well()) {
            return Next::Nothing;
        }
        let alone = calls == 0;
        if alone {
            self.begin_found().await;
        }
        let asked = self.wanted(alone, draining);
        if asked.is_none() && !alone {
            // Its answer comes soon enough.
            return Next::Nothing;
        }
        let more_to_come = asked.is_none() && !self.ahead.is_empty();
        let wait = self.handover.patience().filter(|_| more_to_come);
        if let Some(wait) = wait.filter(|wait| !wait.is_zero()) {
            return Next::Wait(wait);
        }
        let request = asked.map(|(ask, limit)| request(self.shared, ask, limit));
        match self.handover.call(self.shared, request) {
            Some(call) => {
                self.stirred = false;
                self.due &= asked.is_none();
                if let Some((Ask::Ahead, room)) = asked {
                    self.ahead.ask(room);
                    self.due = true;
                }
                Next::Call(Outgoing { call, asked })
            }
            None if draining && self.slots.taken() == 0 => Next::Leave,
            None => Next::Nothing,
        }
    }

    /// Begins jobs that are this worker's already, and of which it has not heard.
    async fn begin_found(&mut self) {
        let sent = Instant::now();
        let found = self.handover.find(self.shared, self.free()).await;
        for (lease, ctx) in self.shared.hold(found, sent) {
            self.slots.begin(self.shared, lease, ctx, self.ahead.jobs());
        }
    }

    /// Which jobs to ask for, and how many.
    fn wanted(&self, alone: bool, draining: bool) -> Option<(Ask, u32)> {
        if !self.due || draining || !self.handover.may_claim() {
            return None;
        }
        let has_slots_for_short = self.slots.long() < self.shared.options.concurrency;
        let room = self.ahead.room().filter(|_| has_slots_for_short);
        let free = self.free();
        let for_slots = (alone && free > 0).then_some((Ask::ForSlots, free));
        room.map(|room| (Ask::Ahead, room)).or(for_slots)
    }

    /// Takes an answer, and whether it brings what was asked for.
    fn take(&mut self, asked: Option<(Ask, u32)>, sent: Instant, answer: Answer) -> bool {
        if let Some((Ask::Ahead, room)) = asked {
            self.ahead.answered(room);
        }
        let leases = self.handover.answered(self.shared, answer, sent);
        let (Some((ask, limit)), Some(leases)) = (asked, leases) else {
            self.due |= asked.is_some();
            return false;
        };
        // There may be others where as many came as were asked for.
        let full = leases.len() == limit as usize;
        self.due |= full;
        let jobs = self.shared.hold(leases, sent);
        match ask {
            Ask::ForSlots => {
                self.ahead.asked(full);
                for (lease, ctx) in jobs {
                    self.slots.begin(self.shared, lease, ctx, self.ahead.jobs());
                }
            }
            Ask::Ahead => {
                // Of other kinds there may be some.
                self.due = true;
                self.ahead.fill(jobs, full);
            }
        }
        true
    }

    /// How long to wait at most where no call is on its way.
    fn patience(&self) -> Duration {
        let ahead = self.ahead.patience(self.shared.options.lease);
        ahead.map_or(self.handover.wait(), |ahead| {
            ahead.min(self.handover.wait())
        })
    }
}

/// What jobs are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ask {
    /// Those that can be begun at once, of all kinds.
    ForSlots,
    /// Short ones, to be begun later.
    Ahead,
}

/// Ends the claims of those who are gone, before any claim is made here.
async fn take_over(shared: &Shared) {
    let mut pause = None;
    while !shared.drain.is_cancelled() {
        match scheduler::sweep(&shared.engine, None).await {
            Ok(sweep) if scheduler::left_some(&sweep) => {}
            Ok(_) => return,
            Err(error) => {
                tracing::warn!(%error, "the jobs of a worker that is gone were not taken over; trying again");
                let wait = retry::longer(pause);
                tokio::select! {
                    biased;
                    () = shared.drain.cancelled() => {}
                    () = tokio::time::sleep(wait) => pause = Some(wait),
                }
            }
        }
    }
}

async fn wait_for_jobs(hints: &mut Hints) {
    while !matches!(hints.next().await, Hint::Jobs | Hint::Missed) {}
}

fn request(shared: &Shared, ask: Ask, limit: u32) -> ClaimRequest {
    let handlers = shared.engine.handlers.iter();
    let asked = handlers.filter(|(_, handler)| ask == Ask::ForSlots || handler.short());
    ClaimRequest {
        worker: shared.id,
        kinds: asked.map(|(kind, _)| kind.clone()).collect(),
        offers: shared.options.offers.clone(),
        limit,
        term: shared.options.lease,
    }
}
