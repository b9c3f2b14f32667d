//! Handing jobs in and taking others: one statement, where nothing hangs on the jobs
//! that are handed in.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::time::Duration;

use deployr_core::model::{Claim, Job, JobState, Lease};
use deployr_core::state::JobEvent;
use deployr_core::store::{ClaimRequest, Exchange, StoreResult};
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgPool, PgRow};
use uuid::Uuid;

use super::calls::{self, Tx};
use super::jobs::{self, Standing};
use super::moves;
use super::places;
use super::query::{execute, many};
use super::rows;
use super::time::interval;
use crate::error::{DbResult, lost};
use crate::words::EndedBy;

const OPERATION: &str = "exchange";

/// Claims, a list for each of their parts.
#[derive(Default)]
pub(super) struct Claims {
    pub(super) jobs: Vec<Uuid>,
    pub(super) fences: Vec<i64>,
    pub(super) workers: Vec<Uuid>,
}

impl Claims {
    pub(super) fn of(claims: &[Claim]) -> Self {
        Self {
            jobs: claims.iter().map(|claim| claim.job.as_uuid()).collect(),
            fences: claims.iter().map(|claim| claim.fence.0).collect(),
            workers: claims.iter().map(|claim| claim.worker.as_uuid()).collect(),
        }
    }
}

/// What a claim is told apart by.
pub(super) fn key(claim: &Claim) -> (Uuid, i64, Uuid) {
    let worker = claim.worker.as_uuid();
    (claim.job.as_uuid(), claim.fence.0, worker)
}

/// The claim that a job's row is of.
pub(super) fn key_of(row: &PgRow) -> DbResult<(Uuid, i64, Uuid)> {
    let worker = row.try_get("worker")?;
    Ok((row.try_get("id")?, row.try_get("fence")?, worker))
}

pub(super) async fn exchange(
    pool: &PgPool,
    done: &[Claim],
    next: Option<&ClaimRequest>,
) -> StoreResult<Exchange> {
    let parts = &Claims::of(done);
    let plain = calls::call(pool, OPERATION, |db| Box::pin(take(db.get(), parts, next)));
    if let Some(leases) = plain.await? {
        let completed = done.iter().map(|_| Ok(())).collect();
        return Ok(Exchange { completed, leases });
    }
    calls::write(pool, OPERATION, |tx| {
        Box::pin(async move {
            let completed = complete_with_care(tx, done, parts).await?;
            let leases = match next {
                Some(_) => take(tx.db(), &Claims::default(), next).await?,
                None => None,
            };
            let leases = leases.unwrap_or_default();
            Ok(Exchange { completed, leases })
        })
    })
    .await
}

/// Completes and takes; none, and nothing changed, where a completion needs more care.
async fn take(
    db: &mut PgConnection,
    done: &Claims,
    next: Option<&ClaimRequest>,
) -> DbResult<Option<Vec<Lease>>> {
    let (mut taken, mut unreadable) = (Vec::new(), Vec::new());
    let mut done = done;
    let none = Claims::default();
    let limit = next.map_or(0, |next| next.limit as usize);
    loop {
        let wanted = limit - taken.len();
        let statement = sqlx::query(include_str!("sql/exchange.sql"))
            .bind(&done.jobs)
            .bind(&done.fences)
            .bind(&done.workers)
            .bind(JobState::Running.on(JobEvent::Complete)?.as_str())
            .bind(EndedBy::Complete.as_str())
            .bind(i64::try_from(wanted).unwrap_or(i64::MAX))
            .bind(next.map_or(Vec::new(), |next| {
                next.kinds.iter().map(|kind| kind.as_str()).collect()
            }))
            .bind(next.map(|next| next.worker.as_uuid()))
            .bind(interval(next.map_or(Duration::ZERO, |next| next.term)))
            .bind(&unreadable)
            .bind(next.map_or(Vec::new(), |next| {
                next.offers.iter().map(|label| label.as_str()).collect()
            }));
        let rows = statement.fetch_all(&mut *db).await?;
        let whole = rows.first().map(|row| row.try_get("whole")).transpose()?;
        if whole != Some(true) {
            return Ok(None);
        }
        let known = unreadable.len();
        for row in &rows {
            let Some(id) = row.try_get::<Option<Uuid>, _>("id")? else {
                continue;
            };
            match rows::job_from(row, 1) {
                Ok(job) => taken.push((row.try_get::<Option<i64>, _>("rank")?, job)),
                Err(error) => {
                    tracing::warn!(?error, "left a job in the queue");
                    unreadable.push(id);
                }
            }
        }
        if unreadable.len() == known {
            break;
        }
        // Those behind one that cannot be read get their turn.
        done = &none;
    }
    if let (false, Some(next)) = (unreadable.is_empty(), next) {
        let statement = sqlx::query(include_str!("sql/give_back.sql"))
            .bind(&unreadable)
            .bind(next.worker.as_uuid());
        execute(db, statement).await?;
    }
    taken.sort_by_key(|(rank, job)| (Reverse(job.priority), *rank, job.id));
    let taken = taken.into_iter().map(|(_, job)| job);
    Ok(Some(next.map_or(Vec::new(), |next| {
        taken.map(|job| lease(job, next)).collect()
    })))
}

fn lease(job: Job, request: &ClaimRequest) -> Lease {
    let claim = Claim {
        job: job.id,
        fence: job.fence,
        worker: request.worker,
    };
    Lease {
        job,
        claim,
        term: request.term,
    }
}

/// Completes jobs some of which have a key to free, or are not to be completed; what is to
/// be told of each.
async fn complete_with_care(
    tx: &mut Tx<'_>,
    done: &[Claim],
    parts: &Claims,
) -> DbResult<Vec<StoreResult<()>>> {
    places::lock_of(tx, &parts.jobs, &[]).await?;
    jobs::lock(tx, &parts.jobs).await?;
    let statement = sqlx::query(include_str!("sql/complete_jobs.sql"))
        .bind(&parts.jobs)
        .bind(&parts.fences)
        .bind(&parts.workers)
        .bind(JobState::Running.on(JobEvent::Complete)?.as_str())
        .bind(EndedBy::Complete.as_str());
    let plain = many(tx.db(), statement, key_of).await?;
    let plain: HashSet<_> = plain.into_iter().collect();

    let mut answers: Vec<_> = done.iter().map(|_| Ok(())).collect();
    let mut rest: Vec<_> = done.iter().zip(&mut answers).collect();
    rest.retain(|(claim, _)| !plain.contains(&key(claim)));
    rest.sort_by_key(|(claim, _)| claim.job);
    for (claim, answer) in rest {
        let claim = *claim;
        let done = tx.savepoint(move |tx| Box::pin(complete(tx, claim))).await;
        *answer = match done {
            Err(error) if error.is_of_one_row() => Err(error.into_store_error("complete")),
            done => Ok(done?),
        };
    }
    Ok(answers)
}

async fn complete(tx: &mut Tx<'_>, claim: Claim) -> DbResult<()> {
    match jobs::standing(tx, &claim, EndedBy::Complete).await? {
        Standing::Held(mut job) => {
            moves::refuse_deployment(tx, &job).await?;
            jobs::change(tx, &mut job, JobEvent::Complete, Some(EndedBy::Complete)).await
        }
        Standing::GivenUp(_) => Ok(()),
        Standing::Lost => Err(lost(claim.job)),
    }
}
