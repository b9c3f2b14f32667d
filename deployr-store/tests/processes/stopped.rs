//! Worker processes that stand still for a while, and some whose clock is wrong.

use std::time::{Duration, Instant};

use crate::child::Task;
use crate::swarm::Swarm;
use crate::{LEASE, first_seed};

/// RELIABILITY 3.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stood_still_for_two_leases_writes_nothing_any_more() {
    let mut swarm = Swarm::new(1, LEASE / 2).await;
    let task = Task {
        work: LEASE,
        stubborn: true,
    };
    swarm.enqueue([task]).await;
    swarm.start(0);
    swarm.until_begun(1).await;
    let stopped = Instant::now();
    swarm.processes[0].signal("STOP");
    swarm.start(0);
    swarm.until_begun(2).await;
    tokio::time::sleep(LEASE.saturating_sub(stopped.elapsed())).await;
    swarm.processes[0].signal("CONT");

    let tries = "SELECT count(*) FROM tries WHERE";
    let done = "(SELECT at FROM ledger WHERE event = 'done')";
    swarm.until(&format!("{tries} at > {done}"), 8).await;
    let taken = swarm.count(&format!("{tries} answer <> 'refused'")).await;
    assert_eq!(taken, 0, "[3] writes of a claim that was another's");
    let meanwhile = swarm.count(&format!("{tries} at < {done}")).await;
    assert!(
        meanwhile >= 4,
        "{meanwhile} tries while another had the job"
    );
    let ledger = swarm.judge(first_seed()).await;
    assert_eq!(ledger.runs.len(), 2);
}

fn tasks(jobs: usize) -> impl Iterator<Item = Task> {
    (0..jobs).map(|_| Task {
        work: LEASE * 2,
        stubborn: false,
    })
}

/// RELIABILITY 5.
#[tokio::test(flavor = "multi_thread")]
async fn clocks_that_are_an_hour_off_end_no_lease_early() {
    let mut swarm = Swarm::new(3, LEASE).await;
    swarm.enqueue(tasks(6)).await;
    swarm.start(1);
    swarm.start(-1);
    let ledger = swarm.judge(first_seed()).await;
    assert_eq!(ledger.run_again(), 0, "{:#?}", ledger.runs);
}

/// RELIABILITY 5, 7: neither before the lease has run out, nor an hour later.
#[tokio::test(flavor = "multi_thread")]
async fn clocks_that_are_an_hour_off_end_a_lease_when_it_has_run_out() {
    for ahead in [1, -1] {
        let mut swarm = Swarm::new(2, LEASE / 2).await;
        swarm.enqueue(tasks(2)).await;
        swarm.start(ahead);
        swarm.until_begun(2).await;
        swarm.start(-ahead);
        tokio::time::sleep(Duration::from_millis(200)).await;
        swarm.kill(0).await;
        let until = "SELECT min((extract(epoch FROM lease_until) * 1000000)::bigint)
                     FROM jobs WHERE state = 'running'";
        let until = swarm.count(until).await;
        let ledger = swarm.judge(first_seed()).await;
        assert_eq!(ledger.run_again(), 2);
        let again = ledger.runs.iter().filter(|run| run.fence > 1);
        assert!(again.map(|run| run.began).all(|began| began > until));
    }
}
