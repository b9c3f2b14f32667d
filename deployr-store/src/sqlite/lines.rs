//! The lines in which queued jobs stand: which there are, and where a job's place is.

use deployr_core::model::{Job, Labels};
use deployr_core::store::ClaimRequest;
use deployr_core::value::{JobKind, Label, TenantId};
use rusqlite::Connection;
use uuid::Uuid;

use super::query::{execute, many, one, scalar};
use crate::error::DbResult;

/// A kind and what it needs: what a claim takes, or leaves alone, as a whole.
pub(super) struct Lane {
    pub(super) id: i64,
    pub(super) kind: String,
    pub(super) needs: String,
}

/// Labels, as stored.
pub(super) fn join(labels: &Labels) -> String {
    let labels: Vec<&str> = labels.iter().map(Label::as_str).collect();
    labels.join(",")
}

/// The lane of that kind and needs; a new one where it is the first such job.
pub(super) fn lane(db: &Connection, kind: &JobKind, needs: &Labels) -> DbResult<i64> {
    let lane = (kind.as_str(), join(needs));
    let sql = "SELECT id FROM lanes WHERE kind = ?1 AND needs = ?2";
    if let Some(id) = one(db, sql, (lane.0, &lane.1), scalar)? {
        return Ok(id);
    }
    db.execute("INSERT INTO lanes (kind, needs) VALUES (?1, ?2)", lane)?;
    Ok(db.last_insert_rowid())
}

/// The lanes whose jobs the worker may have.
pub(super) fn fitting(db: &Connection, request: &ClaimRequest) -> DbResult<Vec<Lane>> {
    let sql = "SELECT id, kind, needs FROM lanes WHERE kind NOT IN (SELECT kind FROM paused)";
    let mut lanes = many(db, sql, [], |row| {
        Ok(Lane {
            id: row.get(0)?,
            kind: row.get(1)?,
            needs: row.get(2)?,
        })
    })?;
    let offered = |need: &str| need.is_empty() || request.offers.contains(need);
    lanes.retain(|lane| {
        request.kinds.iter().any(|kind| kind.as_str() == lane.kind)
            && lane.needs.split(',').all(offered)
    });
    Ok(lanes)
}

/// The end of one tenant's line in one lane: where its next job of that priority stands.
struct End {
    kind: JobKind,
    needs: Labels,
    priority: i16,
    lane: i64,
    rank: i64,
    /// The job that stands there.
    job: Uuid,
}

impl End {
    fn keep(&self, db: &Connection, tenant: &TenantId) -> DbResult<()> {
        keep_end(db, tenant, (self.lane, self.priority, self.rank), self.job)
    }
}

/// Where a tenant's jobs stand that are enqueued together: mostly in one line, each
/// behind the one before.
pub(super) struct Ends<'a> {
    db: &'a Connection,
    tenant: &'a TenantId,
    last: Option<End>,
}

impl<'a> Ends<'a> {
    pub(super) fn new(db: &'a Connection, tenant: &'a TenantId) -> Self {
        let last = None;
        Self { db, tenant, last }
    }

    /// The lane of a job that is not pending, and the job's place in it.
    pub(super) fn next(&mut self, job: &Job) -> DbResult<(i64, i64)> {
        if let Some(end) = &mut self.last
            && (&end.kind, &end.needs, end.priority) == (&job.kind, &job.needs, job.priority)
        {
            end.rank += 1;
            end.job = job.id.as_uuid();
            return Ok((end.lane, end.rank));
        }
        self.keep()?;
        let lane = lane(self.db, &job.kind, &job.needs)?;
        let rank = next_rank(self.db, self.tenant, lane, job.priority)?;
        self.last = Some(End {
            kind: job.kind.clone(),
            needs: job.needs.clone(),
            priority: job.priority,
            lane,
            rank,
            job: job.id.as_uuid(),
        });
        Ok((lane, rank))
    }

    /// Notes how far the line goes now. To be called when all jobs have their places.
    pub(super) fn keep(&self) -> DbResult<()> {
        match &self.last {
            Some(end) => end.keep(self.db, self.tenant),
            None => Ok(()),
        }
    }
}

/// The place of the next job of a tenant in its line: behind its own, and beside the
/// first of the others'. Where nobody stands there, beside the first of all lines of that
/// priority: those who take from several go by the place alone.
fn next_rank(db: &Connection, tenant: &TenantId, lane: i64, priority: i16) -> DbResult<i64> {
    let sql = "SELECT rank FROM jobs WHERE state = 'queued' AND lane = ?1 AND priority = ?2
               ORDER BY rank LIMIT 1";
    let Some(first) = one(db, sql, (lane, priority), scalar)? else {
        let sql = include_str!("sql/first_rank.sql");
        return Ok(one(db, sql, [priority], scalar)?.flatten().unwrap_or(1));
    };
    let own = last_rank(db, tenant, lane, priority)?;
    Ok(i64::max(first, own.unwrap_or_default() + 1))
}

/// The place of the last job of a tenant that stands in the line. An index on the
/// tenants would give it at once, but keeping it up costs each job more than this does.
fn last_rank(
    db: &Connection,
    tenant: &TenantId,
    lane: i64,
    priority: i16,
) -> DbResult<Option<i64>> {
    let sql = "SELECT rank, EXISTS (
                   SELECT 1 FROM jobs WHERE jobs.id = line_ends.job AND jobs.state = 'queued'
               )
               FROM line_ends WHERE lane = ?1 AND priority = ?2 AND tenant = ?3";
    let end = one(db, sql, (lane, priority, tenant.as_str()), |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, bool>(1)?))
    })?;
    match end {
        None => Ok(None),
        Some((rank, true)) => Ok(Some(rank)),
        // It left. None of its tenant stands behind it, and few of the others' before it:
        // they leave in this order.
        Some((rank, false)) => {
            let sql = "SELECT rank FROM jobs
                       WHERE state = 'queued' AND lane = ?1 AND priority = ?2 AND rank <= ?3
                         AND tenant = ?4
                       ORDER BY rank DESC LIMIT 1";
            one(db, sql, (lane, priority, rank, tenant.as_str()), scalar)
        }
    }
}

/// Puts a job that comes back into its line, at the place that it had, or else at the end.
pub(super) fn enter(db: &Connection, job: &Job, lane: i64, rank: Option<i64>) -> DbResult<i64> {
    let (tenant, priority) = (&job.tenant, job.priority);
    let Some(rank) = rank else {
        let rank = next_rank(db, tenant, lane, priority)?;
        keep_end(db, tenant, (lane, priority, rank), job.id.as_uuid())?;
        return Ok(rank);
    };
    if last_rank(db, tenant, lane, priority)?.is_none_or(|last| last < rank) {
        keep_end(db, tenant, (lane, priority, rank), job.id.as_uuid())?;
    }
    Ok(rank)
}

fn keep_end(
    db: &Connection,
    tenant: &TenantId,
    (lane, priority, rank): (i64, i16, i64),
    job: Uuid,
) -> DbResult<()> {
    let sql = "INSERT OR REPLACE INTO line_ends (lane, priority, tenant, rank, job)
               VALUES (?1, ?2, ?3, ?4, ?5)";
    execute(db, sql, (lane, priority, tenant.as_str(), rank, job)).map(drop)
}
