//! The lines in which queued jobs stand: which there are, and where a job's place is.

use std::collections::HashMap;

use deployr_core::model::{Job, Labels};
use deployr_core::store::NewJob;
use deployr_core::system::Timestamp;
use deployr_core::value::{JobKind, Label, TenantId};
use sqlx::Row;
use sqlx::postgres::PgConnection;

use super::query::{execute, many};
use super::time::Time;
use crate::error::{DbResult, corrupt};

/// What tenants take turns in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Line {
    pub(super) kind: String,
    /// The labels, with commas between.
    pub(super) needs: String,
    priority: i16,
}

impl Line {
    fn new(kind: &JobKind, needs: &Labels, priority: i16) -> Self {
        let needs: Vec<&str> = needs.iter().map(Label::as_str).collect();
        Self {
            kind: kind.as_str().to_owned(),
            needs: needs.join(","),
            priority,
        }
    }

    /// The line of a job that is to be added.
    pub(super) fn of_new(new: &NewJob) -> Self {
        Self::new(&new.kind, &new.needs, new.priority)
    }

    pub(super) fn of(job: &Job) -> Self {
        Self::new(&job.kind, &job.needs, job.priority)
    }
}

/// The ends of lines, for the jobs of a tenant that one call puts there. Calls that do so at
/// the same time give the same ranks: then of each of them the oldest job comes first.
pub(super) struct Ends {
    /// The present, by the database's clock.
    pub(super) now: Timestamp,
    ends: HashMap<Line, End>,
}

struct End {
    lane: i32,
    /// The last one's place.
    rank: i64,
}

impl Ends {
    /// The ends of these lines. Adds the lanes that are not there yet.
    pub(super) async fn of(
        db: &mut PgConnection,
        tenant: &TenantId,
        lines: impl Iterator<Item = Line>,
    ) -> DbResult<Self> {
        // Jobs that are added together mostly stand in one line.
        let mut lines: Vec<Line> = lines.collect();
        lines.dedup();
        let ends = Self::find(db, tenant, &lines).await?;
        let missing = |line: &&Line| !ends.ends.contains_key(*line);
        let missing: Vec<&Line> = lines.iter().filter(missing).collect();
        if missing.is_empty() {
            return Ok(ends);
        }
        let kinds: Vec<&str> = missing.iter().map(|line| line.kind.as_str()).collect();
        let needs: Vec<&str> = missing.iter().map(|line| line.needs.as_str()).collect();
        let insert = sqlx::query(include_str!("sql/insert_lanes.sql"))
            .bind(kinds)
            .bind(needs);
        execute(db, insert).await?;
        Self::find(db, tenant, &lines).await
    }

    async fn find(db: &mut PgConnection, tenant: &TenantId, lines: &[Line]) -> DbResult<Self> {
        let kinds: Vec<&str> = lines.iter().map(|line| line.kind.as_str()).collect();
        let needs: Vec<&str> = lines.iter().map(|line| line.needs.as_str()).collect();
        let priorities: Vec<i16> = lines.iter().map(|line| line.priority).collect();
        let statement = sqlx::query(include_str!("sql/lines.sql"))
            .bind(tenant.as_str())
            .bind(kinds)
            .bind(needs)
            .bind(priorities);
        let found = many(db, statement, |row| {
            let now: Time = row.try_get(0)?;
            let lane: Option<i32> = row.try_get(1)?;
            let first: Option<i64> = row.try_get(2)?;
            let own: Option<i64> = row.try_get(3)?;
            // Behind the tenant's own, and beside the first of the others'.
            let next = first.unwrap_or(1).max(own.unwrap_or_default() + 1);
            let rank = next - 1;
            Ok((now.0, lane.map(|lane| End { lane, rank })))
        });
        let found = found.await?;
        let now = found.first().map(|(now, _)| *now);
        let ends = lines.iter().zip(found);
        let ends = ends.filter_map(|(line, (_, end))| Some((line.clone(), end?)));
        Ok(Self {
            now: now.ok_or_else(|| corrupt("the ends of lines", &"no line is asked for"))?,
            ends: ends.collect(),
        })
    }

    fn end(&mut self, line: &Line) -> DbResult<&mut End> {
        let end = self.ends.get_mut(line);
        end.ok_or_else(|| corrupt("a lane", &format!("{} is not there", line.kind)))
    }

    pub(super) fn lane(&mut self, line: &Line) -> DbResult<i32> {
        Ok(self.end(line)?.lane)
    }

    /// The place of the next job of the line.
    pub(super) fn next_rank(&mut self, line: &Line) -> DbResult<i64> {
        let end = self.end(line)?;
        end.rank += 1;
        Ok(end.rank)
    }
}
