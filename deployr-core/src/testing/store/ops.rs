//! What can be done to a store, as values, and what can be seen of it, as text that
//! can be compared between stores.

use std::time::Duration;

use crate::log::LogStream;
use crate::model::{
    Actor, AuditAction, Cause, Claim, Deployment, DeploymentId, Failure, Job, JobId, Lease, Page,
    Release, Stage, StageTimes,
};
use crate::store::{
    ClaimRequest, JobFault, NewDeployment, NewJob, NewLine, NewRelease, Outcome, Store, StoreError,
    StoreResult,
};
use crate::system::Timestamp;
use crate::value::{JobKind, TenantId};

use super::bench::{TERM, commit};

/// One call, with everything that it is given.
#[derive(Debug, Clone)]
pub(super) enum Op {
    Deploy(Actor, NewDeployment),
    Enqueue(TenantId, Vec<NewJob>),
    Exchange(Vec<Claim>, Option<ClaimRequest>),
    Beat(Vec<Claim>),
    Enter(Claim, DeploymentId, Stage),
    Append(Claim, DeploymentId, i64, Vec<NewLine>),
    Record(Claim, DeploymentId, Box<NewRelease>),
    Finish(Claim, DeploymentId, Outcome),
    Fail(Claim, Option<Duration>),
    Release(Claim),
    Cancel(Actor, DeploymentId),
    Sweep(Duration),
    Pause(JobKind, bool),
    Gone(Claim, DeploymentId, Vec<i64>),
    Wait(Duration),
}

/// What came of a call: the text to compare, and what the next calls can build on.
pub(super) struct Answer {
    pub(super) text: String,
    pub(super) leases: Vec<Lease>,
}

fn tell<T>(answer: StoreResult<T>, show: impl Fn(&T) -> String) -> String {
    match answer {
        Ok(value) => show(&value),
        Err(error) => format!("refused: {}", variant(&error)),
    }
}

fn variant(error: &StoreError) -> String {
    let text = format!("{error:?}");
    text.split(|c: char| !c.is_alphanumeric())
        .next()
        .unwrap_or_default()
        .to_owned()
}

pub(super) async fn apply(store: &dyn Store, op: &Op) -> Answer {
    let mut leases = Vec::new();
    let ok = |(): &()| "done".to_owned();
    let text = match op.clone() {
        Op::Deploy(actor, new) => tell(store.create_deployment(&actor, new).await, show_deployment),
        Op::Enqueue(tenant, new) => tell(store.enqueue_all(&tenant, new).await, |jobs| {
            let told = jobs.iter().map(|job| format!("{} {}", job.id, job.state));
            told.collect::<Vec<_>>().join(", ")
        }),
        Op::Exchange(done, next) => match store.exchange(&done, next).await {
            Ok(answer) => {
                leases = answer.leases;
                let completed = answer.completed.into_iter().map(|one| tell(one, ok));
                let taken = leases.iter().map(|lease| lease.claim);
                format!(
                    "{:?}, took {:?}",
                    completed.collect::<Vec<_>>(),
                    taken.collect::<Vec<_>>()
                )
            }
            Err(error) => tell(Err(error), ok),
        },
        Op::Beat(claims) => tell(store.heartbeat(&claims, TERM).await, |beats| {
            format!("{beats:?}")
        }),
        Op::Enter(claim, id, stage) => {
            let noted = (stage != Stage::Checkout).then(commit);
            let answer = store.enter_stage(&claim, id, stage, noted.as_ref()).await;
            tell(answer, show_deployment)
        }
        Op::Append(claim, id, first, lines) => tell(
            store.append_log(&claim, id, first, lines).await,
            i64::to_string,
        ),
        Op::Record(claim, id, new) => {
            tell(store.record_release(&claim, id, *new).await, show_release)
        }
        Op::Finish(claim, id, outcome) => {
            tell(store.finish(&claim, id, outcome).await, show_deployment)
        }
        Op::Fail(claim, retry_after) => {
            let fault = JobFault {
                error: "a fault".to_owned(),
                retry_after,
            };
            tell(store.fail(&claim, fault).await, |state| state.to_string())
        }
        Op::Release(claim) => tell(store.release(&claim).await, ok),
        Op::Cancel(actor, id) => tell(
            store.request_cancel(&actor, id, "a wish").await,
            show_deployment,
        ),
        Op::Sweep(term) => {
            let answer = store.sweep(Some(term), TERM, 1_000).await;
            tell(answer, |sweep| {
                let (mut rescued, mut late) = (sweep.rescued.clone(), sweep.timed_out.clone());
                rescued.sort_by_key(|(id, _)| *id);
                late.sort();
                format!(
                    "rescued {rescued:?}, held back {}, timed out {late:?}, {} poisoned",
                    sweep.held_back, sweep.poisoned
                )
            })
        }
        Op::Pause(kind, paused) => tell(store.pause(&kind, paused).await, ok),
        Op::Gone(claim, id, numbers) => tell(store.mark_gone(&claim, id, &numbers).await, ok),
        Op::Wait(_) => String::new(),
    };
    Answer { text, leases }
}

fn show_deployment(row: &Deployment) -> String {
    // Why it is cancelled is only told of one that is; a fault's words are the store's own.
    let failure = match &row.failure {
        Some(Failure::Fault { .. }) => "fault".to_owned(),
        other if row.status.is_final() => format!("{other:?}"),
        _ => String::new(),
    };
    let release = row
        .release
        .filter(|_| matches!(row.cause, Cause::Deploy { .. }));
    format!(
        "{} #{} {} {} {:?} {release:?} [{failure}] {:?} {:?} {:?}",
        row.id,
        row.number,
        row.status,
        row.stage,
        row.commit,
        row.created_at,
        row.started_at,
        row.finished_at,
    )
}

fn show_job(row: &Job, now: Timestamp) -> String {
    let stop = row.cancel_requested && !row.state.is_final();
    let wait = (row.run_at - now).num_microseconds().unwrap_or(0).max(0);
    format!(
        "{} {} {} {:?} {:?} wait {wait} attempt {}/{} {:?} {:?} {:?} {:?} stop {stop} {:?}",
        row.id,
        row.kind,
        row.state,
        row.limits,
        row.needs,
        row.attempt,
        row.max_attempts,
        row.fence,
        row.worker,
        row.lease_until,
        row.start_by,
        row.finished_at,
    )
}

fn show_release(row: &Release) -> String {
    format!(
        "{} #{} of {} {:?}",
        row.id, row.number, row.deployment, row.state
    )
}

/// Stages as text. Waiting in the queue is told once, however often it was begun.
fn show_stages(stages: &[StageTimes]) -> String {
    let mut told: Vec<String> = Vec::new();
    let mut waited = false;
    for stage in stages {
        let waits = stage.stage == Stage::Queued;
        let text = match waits {
            true => "queued".to_owned(),
            false => format!(
                "{} {} {:?}..{:?}",
                stage.stage, stage.attempt, stage.started_at, stage.ended_at
            ),
        };
        if !(waits && waited) {
            told.push(text);
        }
        waited = waits;
    }
    told.join(", ")
}

/// Everything that can be seen of a tenant, a line a row.
pub(super) async fn observe(
    store: &dyn Store,
    tenant: &TenantId,
    jobs: &[JobId],
    now: Timestamp,
) -> Vec<String> {
    let mut seen = Vec::new();
    let audit = store.audit(tenant, Page::first(1_000)).await.unwrap();
    for row in store
        .deployments(tenant, None, Page::first(1_000))
        .await
        .unwrap()
    {
        let stages = store.stages(tenant, row.id).await.unwrap();
        seen.push(format!(
            "{}; {}",
            show_deployment(&row),
            show_stages(&stages)
        ));
        let mut moves = vec!["queued"];
        moves.extend(audit.iter().rev().filter_map(|entry| {
            let moved =
                entry.deployment == Some(row.id) && entry.action == AuditAction::DeploymentMoved;
            moved.then_some(entry.detail.as_str())
        }));
        moves.dedup();
        seen.push(format!("{} moved {moves:?}", row.id));
        let lines = store.read_log(tenant, row.id, 0, 10_000).await.unwrap();
        assert_eq!(
            store.last_line(tenant, row.id).await.unwrap(),
            lines.len() as i64
        );
        let lines: Vec<_> = lines.iter().map(|line| (line.seq, &line.text)).collect();
        seen.push(format!("{} log {lines:?}", row.id));
    }
    for project in store.projects(tenant, Page::first(1_000)).await.unwrap() {
        let rows = store
            .releases(tenant, project.id, Page::first(1_000))
            .await
            .unwrap();
        seen.extend(rows.iter().map(show_release));
        let there = store.releases_on_target(tenant, project.id).await.unwrap();
        let there: Vec<_> = there.iter().map(|row| row.number).collect();
        seen.push(format!("on the target {there:?}"));
    }
    for id in jobs {
        seen.push(tell(store.job(tenant, *id).await, |job| show_job(job, now)));
    }
    seen.push(format!("{:?}", store.queue_stats().await.unwrap()));
    seen.push(format!("paused {:?}", store.paused().await.unwrap()));
    let live = store.live_releases(Page::first(1_000)).await.unwrap();
    let mut live: Vec<_> = live
        .iter()
        .map(|live| (live.release.id, live.slug.as_str(), live.release.live_turn))
        .collect();
    live.sort();
    seen.push(format!("live {live:?}"));
    seen
}

pub(super) fn line(at: Timestamp, text: String) -> NewLine {
    NewLine {
        at,
        stream: LogStream::Stdout,
        text,
    }
}
