//! Rows of Postgres.

use deployr_core::model::{Fence, Job, JobId, JobState, Labels, WorkerId};
use deployr_core::system::Timestamp;
use deployr_core::value::{InvalidValue, Label};
use sqlx::postgres::{PgRow, Postgres};
use sqlx::{Decode, Row, Type, ValueRef};
use uuid::Uuid;

use super::time::Time;
use crate::error::{DbResult, corrupt};
use crate::rows::{self, Cell, Column, Reader};

/// The columns of a table, in the order in which they are read here. A statement names
/// them all: one with `*` would fail on old connections when a later version adds some.
macro_rules! columns {
    (projects) => {
        "id, tenant, name, slug, settings, removal, created_at, updated_at"
    };
    (domains) => {
        "project, domain, tenant, token, verified_at, created_at"
    };
    (schedules) => {
        "tenant, name, timetable, job, next_at, last_at, created_at, updated_at"
    };
    (deployments) => {
        "id, tenant, project, number, job, cause, commit_id, status, stage, release, failure, \
         actor, created_at, started_at, finished_at"
    };
    (jobs) => {
        "id, tenant, kind, input, priority, limits, needs, state, run_at, attempt, max_attempts, \
         fence, worker, lease_until, start_by, cancel_requested, error, created_at, finished_at"
    };
    (releases) => {
        "id, tenant, project, deployment, number, target, commit_id, digest, recipe, env, state, \
         live_turn, created_at"
    };
}
pub(super) use columns;

impl rows::Row for PgRow {
    fn uuid(&self, column: Column) -> Cell<Uuid> {
        get(self, column)
    }

    /// Of whichever width.
    fn integer(&self, column: Column) -> Cell<i64> {
        let value = match column {
            Column::Name(name) => self.try_get_raw(name),
            Column::At(place) => self.try_get_raw(place),
        };
        let value = value.map_err(|error| error.to_string())?;
        let width = value.type_info().into_owned();
        if <i64 as Type<Postgres>>::compatible(&width) {
            get(self, column)
        } else if <i32 as Type<Postgres>>::compatible(&width) {
            Ok(get::<i32>(self, column)?.map(i64::from))
        } else {
            Ok(get::<i16>(self, column)?.map(i64::from))
        }
    }

    fn flag(&self, column: Column) -> Cell<bool> {
        get(self, column)
    }

    fn text(&self, column: Column) -> Cell<&str> {
        get(self, column)
    }

    fn bytes(&self, column: Column) -> Cell<&[u8]> {
        get(self, column)
    }

    fn time(&self, column: Column) -> Cell<Timestamp> {
        Ok(get::<Time>(self, column)?.map(|time| time.0))
    }
}

fn get<'r, T: Decode<'r, Postgres> + Type<Postgres>>(row: &'r PgRow, column: Column) -> Cell<T> {
    let value = match column {
        Column::Name(name) => row.try_get(name),
        Column::At(place) => row.try_get(place),
    };
    value.map_err(|error| error.to_string())
}

rows::readers!(PgRow);

/// Of a statement whose first columns are those of `jobs`. A job is read more often than
/// everything else, and each name would be looked for among all of them.
pub(super) fn job(row: &PgRow) -> DbResult<Job> {
    job_from(row, 0)
}

/// As [`job`], of columns that begin at `first`.
pub(super) fn job_from(row: &PgRow, first: usize) -> DbResult<Job> {
    let column = |number| first + number;
    let needs: Cell<Vec<String>> = get(row, Column::At(column(6)));
    let needs = needs.map_err(|error| corrupt("a job", &error))?;
    let needs = needs.unwrap_or_default().into_iter().map(Label::parse);
    let needs: Result<Labels, InvalidValue> = needs.collect();
    let row = Reader::new("a job", row);
    let state = row.named(column(7), JobState::from_name)?;
    let worker = row.id_if(column(12), WorkerId::from_uuid)?;
    Ok(Job {
        id: row.id(column(0), JobId::from_uuid)?,
        tenant: row.parse(column(1))?,
        kind: row.parse(column(2))?,
        input: row.json(column(3))?,
        priority: row.number(column(4))?,
        limits: row.json_if(column(5))?.unwrap_or_default(),
        needs: needs.map_err(|error| corrupt("a job", &error))?,
        state,
        run_at: row.time(column(8))?,
        attempt: row.number(column(9))?,
        max_attempts: row.number(column(10))?,
        fence: Fence(row.number(column(11))?),
        // The row remembers its last holder; the job has one only while it is held.
        worker: worker.filter(|_| state == JobState::Running),
        lease_until: row.time_if(column(13))?,
        start_by: row.time(column(14))?,
        cancel_requested: row.flag(column(15))?,
        error: row.parse_if(column(16))?,
        created_at: row.time(column(17))?,
        finished_at: row.time_if(column(18))?,
    })
}
