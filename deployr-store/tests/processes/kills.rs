//! Workers that are killed at any moment.

use std::time::Duration;

use deployr_core::testing::SeededEntropy;

use crate::child::Task;
use crate::swarm::Swarm;
use crate::{first_seed, times};

const JOBS: usize = 2_000;
const PROCESSES: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn eight_workers_that_are_killed_over_and_over_carry_out_each_job_once_at_a_time() {
    for seed in first_seed()..first_seed() + times() {
        let dice = SeededEntropy::new(seed);
        let mut swarm = Swarm::alone(3, Duration::from_secs(2)).await;
        // A few outlive their first lease, so that who takes a job too early meets another.
        let task = |n| Task {
            work: match n % 40 {
                0 => Duration::from_millis(1_500 + dice.below(1_500) as u64),
                _ => Duration::from_millis(dice.below(50) as u64),
            },
            stubborn: false,
        };
        swarm.enqueue((0..JOBS).map(task)).await;
        (0..PROCESSES).for_each(|_| swarm.start(0));
        let mut kills = 0;
        while swarm.count("SELECT count(*) FROM ends").await < JOBS as i64 * 9 / 10 {
            tokio::time::sleep(Duration::from_millis(50 + dice.below(250) as u64)).await;
            swarm.kill(dice.below(PROCESSES)).await;
            swarm.start(0);
            kills += 1;
        }
        let ledger = swarm.judge(seed).await;
        // Else nothing was shown.
        let cut_off = ledger.runs.iter().filter(|run| !run.done).count();
        assert!(
            kills > 5 && cut_off > 5,
            "{kills} kills, {cut_off} runs cut off"
        );
        eprintln!("seed {seed}: {kills} kills, {cut_off} runs cut off");
    }
}
