//! The lines in which queued jobs stand: which there are, and where a job's place is.

use deployr_core::model::{Job, Labels};
use deployr_core::store::ClaimRequest;
use deployr_core::value::{JobKind, Label, TenantId};
use rusqlite::Connection;

use super::query::{many, one, scalar};
use super::writer::Tx;
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

/// The place of the next job of a tenant in its line: behind its own, and beside the
/// first of the others'.
pub(super) fn next_rank(
    db: &Connection,
    lane: i64,
    priority: i16,
    tenant: &TenantId,
) -> DbResult<i64> {
    let sql = "SELECT rank FROM jobs WHERE state = 'queued' AND lane = ?1 AND priority = ?2
               ORDER BY rank LIMIT 1";
    let first: i64 = one(db, sql, (lane, priority), scalar)?.unwrap_or(1);
    let sql = "SELECT max(rank) FROM jobs
               WHERE state = 'queued' AND lane = ?1 AND priority = ?2 AND tenant = ?3";
    let params = (lane, priority, tenant.as_str());
    let own: Option<i64> = one(db, sql, params, scalar)?.flatten();
    Ok(first.max(own.unwrap_or_default() + 1))
}

/// The ends of lines, as far as one call has looked at them. Jobs that are enqueued
/// together mostly stand in one line, each behind the one before.
#[derive(Default)]
pub(super) struct Ends(Option<End>);

struct End {
    kind: JobKind,
    needs: Labels,
    priority: i16,
    lane: i64,
    rank: i64,
}

impl Ends {
    /// The lane of a job that is not pending, and the job's place in it.
    pub(super) fn next(&mut self, tx: &Tx<'_>, job: &Job) -> DbResult<(i64, i64)> {
        if let Some(end) = &mut self.0
            && (&end.kind, &end.needs, end.priority) == (&job.kind, &job.needs, job.priority)
        {
            end.rank += 1;
            return Ok((end.lane, end.rank));
        }
        let lane = lane(tx.db, &job.kind, &job.needs)?;
        let rank = next_rank(tx.db, lane, job.priority, &job.tenant)?;
        self.0 = Some(End {
            kind: job.kind.clone(),
            needs: job.needs.clone(),
            priority: job.priority,
            lane,
            rank,
        });
        Ok((lane, rank))
    }
}
