use std::sync::Arc;

use super::bench::Bench;
use super::check_invariants;
use super::ops::{Op, apply, observe};
use super::walk::Walk;
use crate::store::Store;
use crate::system::Clock;
use crate::testing::{ManualClock, MemoryStore};

/// Makes `steps` random calls to a fresh store and to a [`MemoryStore`] that goes by
/// the same clock, and compares every answer and all that can be seen after each.
///
/// # Panics
///
/// At the first difference, with the seed, the calls that led there, and both sides;
/// and when an invariant does not hold.
pub async fn agrees_with_memory<F, Fut>(make: F, seed: u64, steps: usize)
where
    F: Fn(Arc<ManualClock>) -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    let clock = Arc::new(ManualClock::default());
    let store = make(Arc::clone(&clock)).await;
    let memory: Arc<dyn Store> = Arc::new(MemoryStore::new(clock.clone()));
    let mut walk = Walk::begin(&*store, Bench::new(memory, clock), seed).await;
    let mut ops = Vec::new();
    for _ in 0..steps {
        let op = walk.choose().await;
        ops.push(format!("{op:?}"));
        if let Op::Wait(time) = op {
            walk.bench.clock.advance(time);
        }
        let mine = apply(&*walk.bench.store, &op).await;
        let theirs = apply(&*store, &op).await;
        let story = || format!("with seed {seed}, after:\n  {}", ops.join("\n  "));
        assert_eq!(
            theirs.text,
            mine.text,
            "the answer (theirs, then memory's) {}",
            story()
        );
        walk.note(&op, &mine.leases).await;
        let now = walk.bench.clock.now();
        for actor in &walk.actors {
            let tenant = &actor.tenant;
            let theirs = observe(&*store, tenant, &walk.jobs, now).await;
            let mine = observe(&*walk.bench.store, tenant, &walk.jobs, now).await;
            for (theirs, mine) in theirs.iter().zip(&mine) {
                assert_eq!(
                    theirs,
                    mine,
                    "what is seen (theirs, then memory's) {}",
                    story()
                );
            }
            assert_eq!(theirs.len(), mine.len(), "how much is seen {}", story());
            check_invariants(&*store, tenant).await;
        }
    }
}
