//! A database that goes away, and comes back.

use std::time::Duration;

use crate::child::Task;
use crate::ledger::Ledger;
use crate::swarm::Swarm;
use crate::{LEASE, first_seed};

const JOBS: i64 = 20;

fn task(work: Duration) -> Task {
    let stubborn = false;
    Task { work, stubborn }
}

/// Four processes that have twenty jobs in hand.
async fn at_work(lease: Duration, work: impl Fn(u32) -> Duration + Send) -> Swarm {
    let tasks: Vec<_> = (0..20).map(|n| task(work(n))).collect();
    let mut swarm = Swarm::new(5, lease).await;
    swarm.enqueue(tasks).await;
    (0..4).for_each(|_| swarm.start(0));
    swarm.until_begun(JOBS).await;
    swarm
}

/// RELIABILITY 11: none was lost, none has ended for the lack of a database, and it costs
/// no job an attempt.
async fn ended(mut swarm: Swarm) -> Ledger {
    swarm.until_all_over().await;
    for process in &mut swarm.processes {
        assert!(process.lives(), "[11] {} has ended", process.name);
    }
    let ledger = swarm.judge(first_seed()).await;
    for end in &ledger.ends {
        assert_eq!(end.attempt, 1, "[11] {end:?}");
    }
    ledger
}

/// As `pg_ctl restart -m immediate` does.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_restarted_interrupts_no_job() {
    // Long enough to be back before workers stop their jobs.
    let mut swarm = at_work(LEASE * 4, |_| LEASE * 2).await;
    swarm.postgres.crash();
    swarm.postgres.up();
    assert_eq!(ended(swarm).await.run_again(), 0);
}

async fn outage(lease: Duration, away: Duration) {
    // Some are done while the database is away, before their worker has to stop them.
    let short = |n: u32| n.is_multiple_of(2);
    let mut swarm = at_work(lease, |n| match short(n) {
        true => lease / 4,
        false => lease * 3 / 2,
    })
    .await;
    swarm.postgres.crash();
    tokio::time::sleep(away).await;
    swarm.postgres.up();
    let ledger = ended(swarm).await;
    // What had to stop is begun again; what was done is not.
    assert_eq!(ledger.run_again(), 10, "{:#?}", ledger.runs);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_for_longer_than_leases_hold_costs_no_attempt() {
    outage(LEASE, LEASE * 3).await;
}

/// With the leases and the outage that there are in production.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes two minutes: `cargo xtask soak` does it"]
async fn a_database_that_is_away_for_long_costs_no_attempt() {
    outage(Duration::from_secs(60), Duration::from_secs(45)).await;
}
