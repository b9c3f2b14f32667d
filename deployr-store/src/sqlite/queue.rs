//! The job queue, as its users call it.

use std::cmp::Reverse;
use std::time::Duration;

use async_trait::async_trait;
use deployr_core::model::{Claim, Fence, Job, JobId, JobState, Lease, WorkerId};
use deployr_core::state::JobEvent;
use deployr_core::store::{
    Beat, ClaimRequest, Exchange, JobFault, JobQueue, NewJob, QueueStats, StoreResult, Sweep,
};
use deployr_core::value::{JobKind, TenantId};
use rusqlite::{Connection, Statement};

use super::SqliteStore;
use super::jobs;
use super::lines::{self, Lane};
use super::moves;
use super::query::{execute, many, one, scalar};
use super::rows;
use super::sweep;
use super::writer::Tx;
use crate::error::{DbResult, not_found};
use crate::words::EndedBy;

#[async_trait]
impl JobQueue for SqliteStore {
    async fn enqueue_all(&self, tenant: &TenantId, new: Vec<NewJob>) -> StoreResult<Vec<Job>> {
        let tenant = tenant.clone();
        self.write("enqueue", move |tx| jobs::insert_all(tx, &tenant, new))
            .await
    }

    async fn job(&self, tenant: &TenantId, id: JobId) -> StoreResult<Job> {
        let tenant = tenant.clone();
        self.read("job", move |db| {
            let sql = "SELECT * FROM job_rows WHERE id = ?1 AND tenant = ?2";
            one(db, sql, (id.as_uuid(), tenant.as_str()), rows::job)?
                .ok_or_else(|| not_found("job", &id))
        })
        .await
    }

    async fn exchange(&self, done: &[Claim], next: Option<ClaimRequest>) -> StoreResult<Exchange> {
        let done = done.to_vec();
        self.write("exchange", move |tx| {
            Ok(Exchange {
                completed: complete_all(tx, &done)?,
                leases: next.map_or(Ok(Vec::new()), |request| claim(tx, &request))?,
            })
        })
        .await
    }

    async fn held(&self, worker: WorkerId) -> StoreResult<Vec<Job>> {
        self.read("held", move |db| {
            let sql = "SELECT * FROM job_rows WHERE state = 'running' AND worker = ?1 ORDER BY id";
            let jobs = many(db, sql, [worker.as_uuid()], |row| Ok(rows::job(row)))?;
            Ok(jobs.into_iter().filter_map(crate::rows::readable).collect())
        })
        .await
    }

    async fn heartbeat(&self, claims: &[Claim], term: Duration) -> StoreResult<Vec<Beat>> {
        let claims = claims.to_vec();
        self.write("heartbeat", move |tx| {
            let until = tx.later(term).timestamp_micros();
            claims
                .iter()
                .map(|claim| beat(tx.db, claim, until))
                .collect()
        })
        .await
    }

    async fn fail(&self, claim: &Claim, fault: JobFault) -> StoreResult<JobState> {
        let claim = *claim;
        self.write("fail", move |tx| {
            if let Some(job) = jobs::given_up(tx.db, &claim, EndedBy::Fail)? {
                return Ok(job.state);
            }
            let mut job = jobs::held(tx.db, &claim)?;
            moves::after_fault(
                tx,
                &mut job,
                &fault.error,
                fault.retry_after,
                Some(EndedBy::Fail),
            )
        })
        .await
    }

    async fn release(&self, claim: &Claim) -> StoreResult<()> {
        let claim = *claim;
        self.write("release", move |tx| {
            let by = EndedBy::Release;
            if jobs::given_up(tx.db, &claim, by)?.is_some() {
                return Ok(());
            }
            let mut job = jobs::held(tx.db, &claim)?;
            job.attempt = job.attempt.saturating_sub(1);
            moves::requeue(tx, &mut job, None, Some(by))
        })
        .await
    }

    async fn sweep(
        &self,
        term: Option<Duration>,
        retry_after: Duration,
        limit: u32,
    ) -> StoreResult<Sweep> {
        self.write("sweep", move |tx| {
            sweep::sweep(tx, term, retry_after, limit)
        })
        .await
    }

    async fn pause(&self, kind: &JobKind, paused: bool) -> StoreResult<()> {
        let kind = kind.clone();
        self.write("pause", move |tx| {
            let sql = match paused {
                true => "INSERT OR IGNORE INTO paused (kind) VALUES (?1)",
                false => "DELETE FROM paused WHERE kind = ?1",
            };
            execute(tx.db, sql, [kind.as_str()]).map(drop)
        })
        .await
    }

    async fn paused(&self) -> StoreResult<Vec<JobKind>> {
        self.read("paused", |db| {
            many(db, "SELECT kind FROM paused ORDER BY kind", [], rows::kind)
        })
        .await
    }

    async fn queue_stats(&self) -> StoreResult<QueueStats> {
        self.read("queue_stats", |db| {
            // The states are spelt out for the partial indexes.
            let count = |sql| -> DbResult<u64> {
                let count: i64 = one(db, sql, [], scalar)?.unwrap_or_default();
                Ok(count.unsigned_abs())
            };
            Ok(QueueStats {
                pending: count("SELECT count(*) FROM jobs WHERE state = 'pending'")?,
                queued: count("SELECT count(*) FROM jobs WHERE state = 'queued'")?,
                running: count("SELECT count(*) FROM jobs WHERE state = 'running'")?,
            })
        })
        .await
    }
}

/// Completes jobs; gives what is to be told of each, or what ended the whole call.
fn complete_all(tx: &Tx<'_>, done: &[Claim]) -> DbResult<Vec<StoreResult<()>>> {
    let mut plain = tx.db.prepare_cached(include_str!("sql/complete_job.sql"))?;
    done.iter()
        .map(|claim| complete(tx, claim, &mut plain))
        .collect()
}

fn complete(tx: &Tx<'_>, claim: &Claim, plain: &mut Statement<'_>) -> DbResult<StoreResult<()>> {
    let done = match complete_plain(tx, claim, plain) {
        Ok(true) => return Ok(Ok(())),
        Ok(false) => tx.savepoint(|tx| complete_with_care(tx, claim)),
        Err(error) => Err(error),
    };
    match done {
        Err(error) if !tx.is_over() && error.is_of_one_row() => {
            Ok(Err(error.into_store_error("complete")))
        }
        done => done.map(Ok),
    }
}

/// Completes a job that nothing hangs on, in one statement. Does nothing, and says so,
/// where there is more to do or to tell.
fn complete_plain(tx: &Tx<'_>, claim: &Claim, plain: &mut Statement<'_>) -> DbResult<bool> {
    let state = JobState::Running.on(JobEvent::Complete)?;
    let completed = plain.execute((
        claim.job.as_uuid(),
        claim.fence.0,
        claim.worker.as_uuid(),
        state.as_str(),
        tx.now(),
        EndedBy::Complete.as_str(),
    ))?;
    Ok(completed > 0)
}

fn complete_with_care(tx: &Tx<'_>, claim: &Claim) -> DbResult<()> {
    if jobs::given_up(tx.db, claim, EndedBy::Complete)?.is_some() {
        return Ok(());
    }
    let mut job = jobs::held(tx.db, claim)?;
    moves::refuse_deployment(tx.db, &job)?;
    jobs::change(tx, &mut job, JobEvent::Complete, Some(EndedBy::Complete))
}

/// Takes the jobs whose turn it is.
fn claim(tx: &Tx<'_>, request: &ClaimRequest) -> DbResult<Vec<Lease>> {
    let next = next(tx, request)?;
    let mut take = tx.db.prepare_cached(include_str!("sql/claim_job.sql"))?;
    let until = tx.later(request.term);
    let lease = |Queued { row, mut job, .. }: Queued| {
        job.state = job.state.on(JobEvent::Claim)?;
        job.fence = Fence(job.fence.0 + 1);
        job.attempt += 1;
        job.worker = Some(request.worker);
        job.lease_until = Some(until);
        take.execute((
            row,
            job.state.as_str(),
            job.fence.0,
            job.attempt,
            request.worker.as_uuid(),
            until.timestamp_micros(),
        ))?;
        let claim = Claim {
            job: job.id,
            fence: job.fence,
            worker: request.worker,
        };
        Ok(Lease {
            job,
            claim,
            term: request.term,
        })
    };
    next.into_iter().map(lease).collect()
}

/// A job that may be taken, and where its row is.
struct Queued {
    row: i64,
    rank: i64,
    job: Job,
}

/// The jobs whose turn it is, over all lanes that fit.
fn next(tx: &Tx<'_>, request: &ClaimRequest) -> DbResult<Vec<Queued>> {
    let limit = usize::try_from(request.limit).unwrap_or(usize::MAX);
    let mut next = Vec::new();
    let mut lanes = 0;
    for lane in lines::fitting(tx.db, request)? {
        let before = next.len();
        walk(tx, &lane, limit, &mut next)?;
        lanes += usize::from(next.len() > before);
    }
    if lanes > 1 {
        next.sort_by_key(|one| (Reverse(one.job.priority), one.rank, one.job.id));
        next.truncate(limit);
    }
    Ok(next)
}

/// The first jobs of a lane. One that cannot be read is left where it is, and those
/// behind it get their turn.
fn walk(tx: &Tx<'_>, lane: &Lane, limit: usize, next: &mut Vec<Queued>) -> DbResult<()> {
    let mut statement = tx.db.prepare_cached(include_str!("sql/line.sql"))?;
    let mut rows = statement.query((lane.id, tx.now(), &lane.kind, &lane.needs))?;
    let mut left = limit;
    while left > 0
        && let Some(row) = rows.next()?
    {
        match rows::job(row) {
            Ok(job) => next.push(Queued {
                row: row.get(rows::JOB_COLUMNS)?,
                rank: row.get(rows::RANK)?,
                job,
            }),
            Err(error) => {
                tracing::warn!(?error, "left a job in the queue");
                continue;
            }
        }
        left -= 1;
    }
    Ok(())
}

fn beat(db: &Connection, claim: &Claim, until: i64) -> DbResult<Beat> {
    let params = (
        claim.job.as_uuid(),
        claim.fence.0,
        claim.worker.as_uuid(),
        until,
    );
    let cancel = one(db, include_str!("sql/heartbeat.sql"), params, scalar)?;
    Ok(cancel.map_or(Beat::Lost, |cancel| Beat::Held { cancel }))
}
