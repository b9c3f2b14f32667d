//! What the engine counts and measures, by the [`metrics`](https://docs.rs/metrics) facade:
//! an app that installs a recorder gets all of it, and without one it costs next to nothing.
//!
//! | name | labels | |
//! | --- | --- | --- |
//! | `deployr_jobs_total` | `kind`, `end` | attempts that a worker has ended: `completed`, `fault`, or `stopped` |
//! | `deployr_job_seconds` | `kind` | how long they took |
//! | `deployr_job_wait_seconds` | `kind` | from when a job was due to when it was claimed, by the store's clock |
//! | `deployr_leases_lost_total` | | jobs that a worker had to stop because another may have them |
//! | `deployr_jobs_rescued_total` | | jobs that were taken from a worker that was lost |
//! | `deployr_leases_held_back` | | leases that ran out and are left alone for now, because so many did at a time |
//! | `deployr_deployments_total` | `status` | deployments that are over |
//! | `deployr_stage_seconds` | `stage` | how long their stages took, by the store's clock |
//! | `deployr_log_lines_total` | | lines that were stored |
//! | `deployr_log_lag_seconds` | | from when the oldest line of a batch was read to when the batch was stored |
//! | `deployr_store_seconds` | `call` | how long calls of the store took (by `deployr-store`) |
//! | `deployr_store_errors_total` | `call` | calls that the store could not do; refusals are none |
//!
//! Seconds are histograms. What the queue holds is asked of the store:
//! [`Engine::queue_by_kind`](crate::engine::Engine::queue_by_kind) and
//! [`Engine::workers`](crate::engine::Engine::workers).

use std::time::Duration;

use metrics::{counter, gauge, histogram};

use crate::job::{Done, JobError};
use crate::model::{Deployment, Lease, StageTimes};

pub(crate) fn job_claimed(lease: &Lease) {
    let job = &lease.job;
    let claimed_at = job.lease_until.map(|until| until - lease.term);
    let wait = claimed_at.and_then(|at| (at - job.run_at).to_std().ok());
    if let Some(wait) = wait {
        histogram!("deployr_job_wait_seconds", "kind" => job.kind.to_string()).record(wait);
    }
}

pub(crate) fn job_ended(lease: &Lease, ended: &Result<Done, JobError>, took: Duration) {
    let end = match ended {
        Ok(_) => "completed",
        Err(JobError::Fault(_)) => "fault",
        Err(JobError::Stopped) => "stopped",
    };
    let kind = lease.job.kind.to_string();
    counter!("deployr_jobs_total", "kind" => kind.clone(), "end" => end).increment(1);
    histogram!("deployr_job_seconds", "kind" => kind).record(took);
}

pub(crate) fn lease_lost() {
    counter!("deployr_leases_lost_total").increment(1);
}

pub(crate) fn swept(rescued: usize, held_back: u32) {
    counter!("deployr_jobs_rescued_total").increment(rescued as u64);
    gauge!("deployr_leases_held_back").set(held_back);
}

pub(crate) fn deployment_over(deployment: &Deployment, stages: &[StageTimes]) {
    counter!("deployr_deployments_total", "status" => deployment.status.as_str()).increment(1);
    for stage in stages {
        let took = stage.ended_at.map(|ended| ended - stage.started_at);
        if let Some(took) = took.and_then(|took| took.to_std().ok()) {
            histogram!("deployr_stage_seconds", "stage" => stage.stage.as_str()).record(took);
        }
    }
}

pub(crate) fn lines_stored(lines: usize, lag: Duration) {
    counter!("deployr_log_lines_total").increment(lines as u64);
    histogram!("deployr_log_lag_seconds").record(lag);
}
