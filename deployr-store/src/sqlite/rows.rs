//! Rows of SQLite.

use deployr_core::model::{Fence, Job, JobId, JobState, Labels, WorkerId};
use deployr_core::system::{Timestamp, timestamp_from_micros};
use deployr_core::value::{InvalidValue, Label};
use rusqlite::Row;
use rusqlite::types::FromSql;
use uuid::Uuid;

use crate::error::DbResult;
use crate::rows::{self, Cell, Column, Reader};

impl rows::Row for Row<'_> {
    fn uuid(&self, column: Column) -> Cell<Uuid> {
        get(self, column)
    }

    fn integer(&self, column: Column) -> Cell<i64> {
        get(self, column)
    }

    fn flag(&self, column: Column) -> Cell<bool> {
        get(self, column)
    }

    fn text(&self, column: Column) -> Cell<&str> {
        let value = match column {
            Column::Name(name) => self.get_ref(name),
            Column::At(place) => self.get_ref(place),
        };
        let value = value.map_err(|error| error.to_string())?;
        value.as_str_or_null().map_err(|error| error.to_string())
    }

    fn bytes(&self, column: Column) -> Cell<&[u8]> {
        let value = match column {
            Column::Name(name) => self.get_ref(name),
            Column::At(place) => self.get_ref(place),
        };
        let value = value.map_err(|error| error.to_string())?;
        value.as_blob_or_null().map_err(|error| error.to_string())
    }

    fn time(&self, column: Column) -> Cell<Timestamp> {
        Ok(self.integer(column)?.map(timestamp_from_micros))
    }
}

fn get<T: FromSql>(row: &Row<'_>, column: Column) -> Cell<T> {
    let value = match column {
        Column::Name(name) => row.get(name),
        Column::At(place) => row.get(place),
    };
    value.map_err(|error| error.to_string())
}

rows::readers!(Row<'_>);

/// How many columns [`job`] reads; what else a statement selects comes behind them.
pub(super) const JOB_COLUMNS: usize = 23;
/// Which column is the job's place in line.
pub(super) const RANK: usize = 5;
/// Which is its lane.
pub(super) const LANE: usize = 2;

/// Of all columns in the order of the table, then the lane's kind and needs. A job is read
/// more often than everything else, and each name would be looked for among all of them.
pub(super) fn job(row: &Row<'_>) -> DbResult<Job> {
    let row = Reader::new("a job", row);
    let state = row.named(7, JobState::from_name)?;
    let worker = row.id_if(13, WorkerId::from_uuid)?;
    Ok(Job {
        id: row.id(0, JobId::from_uuid)?,
        tenant: row.parse(1)?,
        kind: row.parse(21)?,
        // 2 is the lane, which gives the kind and the needs.
        input: row.json(3)?,
        priority: row.number(4)?,
        limits: row.json_if(6)?.unwrap_or_default(),
        needs: row.text(22, labels)?,
        state,
        run_at: row.time(8)?,
        // 9 is `due_at`.
        attempt: row.number(10)?,
        max_attempts: row.number(11)?,
        fence: Fence(row.number(12)?),
        // The row remembers its last holder; the job has one only while it is held.
        worker: worker.filter(|_| state == JobState::Running),
        // 14 is `ended_by`.
        lease_until: row.time_if(15)?,
        start_by: row.time(16)?,
        cancel_requested: row.flag(17)?,
        error: row.parse_if(18)?,
        created_at: row.time(19)?,
        finished_at: row.time_if(20)?,
    })
}

fn labels(text: &str) -> Result<Labels, InvalidValue> {
    let names = text.split(',').filter(|name| !name.is_empty());
    names.map(Label::parse).collect()
}
