//! Rows to values.

use std::fmt::Display;
use std::str::FromStr;

use deployr_core::log::{LogLine, LogStream};
use deployr_core::model::{
    AuditAction, AuditEntry, Deployment, DeploymentId, DeploymentStatus, EnvEntry, Fence, Job,
    JobId, JobState, Labels, Project, ProjectId, Release, ReleaseId, ReleaseState, Stage,
    StageTimes, WorkerId,
};
use deployr_core::secret::Sealed;
use deployr_core::store::LiveRelease;
use deployr_core::system::{Timestamp, timestamp_from_micros};
use deployr_core::value::{InvalidValue, JobKind, Label};
use rusqlite::types::FromSql;
use rusqlite::{Row, RowIndex};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::error::{DbResult, corrupt};

pub(super) fn state_name(state: ReleaseState) -> &'static str {
    match state {
        ReleaseState::Placed => "placed",
        ReleaseState::Live => "live",
        ReleaseState::Kept => "kept",
        ReleaseState::Gone => "gone",
    }
}

/// Reads the columns of one row, by name or by place; says which thing cannot be read
/// where one cannot.
struct Reader<'r, 's> {
    what: &'static str,
    row: &'r Row<'s>,
}

impl Reader<'_, '_> {
    fn get<T: FromSql>(&self, column: impl RowIndex) -> DbResult<T> {
        self.row
            .get(column)
            .map_err(|error| corrupt(self.what, &error))
    }

    fn id<T>(&self, column: impl RowIndex, from: fn(Uuid) -> T) -> DbResult<T> {
        self.get(column).map(from)
    }

    fn id_if<T>(&self, column: impl RowIndex, from: fn(Uuid) -> T) -> DbResult<Option<T>> {
        Ok(self.get::<Option<Uuid>>(column)?.map(from))
    }

    fn time(&self, column: impl RowIndex) -> DbResult<Timestamp> {
        self.get(column).map(timestamp_from_micros)
    }

    fn time_if(&self, column: impl RowIndex) -> DbResult<Option<Timestamp>> {
        Ok(self.get::<Option<i64>>(column)?.map(timestamp_from_micros))
    }

    /// A text, and what is made of it; none for NULL.
    fn text_if<T, E: Display>(
        &self,
        column: impl RowIndex + Copy,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> DbResult<Option<T>> {
        let value = self.row.get_ref(column);
        let text = value.and_then(|value| Ok(value.as_str_or_null()?));
        let text = text.map_err(|error| corrupt(self.what, &error))?;
        text.map(read).transpose().map_err(|error| {
            let column = column.idx(self.row.as_ref());
            let name = column.and_then(|column| self.row.as_ref().column_name(column));
            corrupt(self.what, &format!("{}: {error}", name.unwrap_or("?")))
        })
    }

    fn text<T, E: Display>(
        &self,
        column: impl RowIndex + Copy,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> DbResult<T> {
        self.text_if(column, read)?
            .ok_or_else(|| corrupt(self.what, &"a value is missing"))
    }

    fn parse<T: FromStr<Err: Display>>(&self, column: impl RowIndex + Copy) -> DbResult<T> {
        self.text(column, str::parse)
    }

    fn parse_if<T: FromStr<Err: Display>>(&self, column: &str) -> DbResult<Option<T>> {
        self.text_if(column, str::parse)
    }

    fn named<T>(
        &self,
        column: impl RowIndex + Copy,
        from_name: fn(&str) -> Option<T>,
    ) -> DbResult<T> {
        self.text(column, |name| {
            from_name(name).ok_or_else(|| format!("unknown: {name:?}"))
        })
    }

    fn json<T: DeserializeOwned>(&self, column: impl RowIndex + Copy) -> DbResult<T> {
        self.text(column, |text| serde_json::from_str(text))
    }

    fn json_if<T: DeserializeOwned>(&self, column: impl RowIndex + Copy) -> DbResult<Option<T>> {
        self.text_if(column, |text| serde_json::from_str(text))
    }

    fn sealed(&self, column: &str) -> DbResult<Sealed> {
        let bytes: Vec<u8> = self.get(column)?;
        Sealed::from_bytes(bytes).map_err(|error| corrupt(self.what, &format!("{column}: {error}")))
    }
}

pub(super) fn project(row: &Row<'_>) -> DbResult<Project> {
    let row = Reader {
        what: "a project",
        row,
    };
    Ok(Project {
        id: row.id("id", ProjectId::from_uuid)?,
        tenant: row.parse("tenant")?,
        name: row.parse("name")?,
        slug: row.parse("slug")?,
        settings: row.json("settings")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
    })
}

pub(super) fn env_entry(row: &Row<'_>) -> DbResult<EnvEntry> {
    let row = Reader {
        what: "a variable",
        row,
    };
    Ok(EnvEntry {
        name: row.parse("name")?,
        value: row.sealed("value")?,
        updated_at: row.time("updated_at")?,
    })
}

pub(super) fn deployment(row: &Row<'_>) -> DbResult<Deployment> {
    let row = Reader {
        what: "a deployment",
        row,
    };
    Ok(Deployment {
        id: row.id("id", DeploymentId::from_uuid)?,
        tenant: row.parse("tenant")?,
        project: row.id("project", ProjectId::from_uuid)?,
        number: row.get("number")?,
        job: row.id("job", JobId::from_uuid)?,
        cause: row.json("cause")?,
        commit: row.parse_if("commit_id")?,
        status: row.named("status", DeploymentStatus::from_name)?,
        stage: row.named("stage", Stage::from_name)?,
        release: row.id_if("release", ReleaseId::from_uuid)?,
        failure: row.json_if("failure")?,
        actor: row.get("actor")?,
        created_at: row.time("created_at")?,
        started_at: row.time_if("started_at")?,
        finished_at: row.time_if("finished_at")?,
    })
}

pub(super) fn stage_times(row: &Row<'_>) -> DbResult<StageTimes> {
    let row = Reader {
        what: "a stage",
        row,
    };
    Ok(StageTimes {
        stage: row.named("stage", Stage::from_name)?,
        attempt: row.get("attempt")?,
        started_at: row.time("started_at")?,
        ended_at: row.time_if("ended_at")?,
    })
}

/// How many columns [`job`] reads; what else a statement selects comes behind them.
pub(super) const JOB_COLUMNS: usize = 23;
/// Which column is the job's place in line.
pub(super) const RANK: usize = 5;

/// Of all columns in the order of the table, then the lane's kind and needs. A job is read
/// more often than everything else, and each name would be looked for among all of them.
pub(super) fn job(row: &Row<'_>) -> DbResult<Job> {
    let row = Reader { what: "a job", row };
    let state = row.named(7, JobState::from_name)?;
    let worker = row.id_if(13, WorkerId::from_uuid)?;
    Ok(Job {
        id: row.id(0, JobId::from_uuid)?,
        tenant: row.parse(1)?,
        kind: row.parse(21)?,
        // 2 is the lane, which gives the kind and the needs.
        input: row.json(3)?,
        priority: row.get(4)?,
        limits: row.json_if(6)?.unwrap_or_default(),
        needs: row.text(22, labels)?,
        state,
        run_at: row.time(8)?,
        // 9 is `due_at`.
        attempt: row.get(10)?,
        max_attempts: row.get(11)?,
        fence: Fence(row.get(12)?),
        // The row remembers its last holder; the job has one only while it is held.
        worker: worker.filter(|_| state == JobState::Running),
        // 14 is `ended_by`.
        lease_until: row.time_if(15)?,
        start_by: row.time(16)?,
        cancel_requested: row.get(17)?,
        error: row.get(18)?,
        created_at: row.time(19)?,
        finished_at: row.time_if(20)?,
    })
}

fn labels(text: &str) -> Result<Labels, InvalidValue> {
    let names = text.split(',').filter(|name| !name.is_empty());
    names.map(Label::parse).collect()
}

/// Of one column.
pub(super) fn kind(row: &Row<'_>) -> DbResult<JobKind> {
    let row = Reader {
        what: "a kind",
        row,
    };
    row.parse(0)
}

/// Of the columns `seq, at, stream, text`: by their places, for there are many rows.
pub(super) fn log_line(row: &Row<'_>) -> DbResult<LogLine> {
    let row = Reader {
        what: "a log line",
        row,
    };
    let stream = row.get(2)?;
    Ok(LogLine {
        seq: row.get(0)?,
        at: row.time(1)?,
        stream: LogStream::from_number(stream)
            .ok_or_else(|| corrupt("a log line", &format!("unknown stream: {stream}")))?,
        text: row.get(3)?,
    })
}

pub(super) fn release(row: &Row<'_>) -> DbResult<Release> {
    let row = Reader {
        what: "a release",
        row,
    };
    Ok(Release {
        id: row.id("id", ReleaseId::from_uuid)?,
        tenant: row.parse("tenant")?,
        project: row.id("project", ProjectId::from_uuid)?,
        deployment: row.id("deployment", DeploymentId::from_uuid)?,
        number: row.get("number")?,
        target: row.parse("target")?,
        commit: row.parse("commit_id")?,
        digest: row.get("digest")?,
        recipe: row.json("recipe")?,
        env: row.sealed("env")?,
        state: row.named("state", |name| {
            [
                ReleaseState::Placed,
                ReleaseState::Live,
                ReleaseState::Kept,
                ReleaseState::Gone,
            ]
            .into_iter()
            .find(|state| state_name(*state) == name)
        })?,
        live_turn: row.get("live_turn")?,
        created_at: row.time("created_at")?,
    })
}

pub(super) fn live_release(row: &Row<'_>) -> DbResult<LiveRelease> {
    let columns = Reader {
        what: "a live release",
        row,
    };
    Ok(LiveRelease {
        release: release(row)?,
        slug: columns.parse("slug")?,
    })
}

pub(super) fn audit_entry(row: &Row<'_>) -> DbResult<AuditEntry> {
    let row = Reader {
        what: "an audit entry",
        row,
    };
    Ok(AuditEntry {
        seq: row.get("seq")?,
        at: row.time("at")?,
        tenant: row.parse("tenant")?,
        actor: row.get("actor")?,
        action: row.named("action", AuditAction::from_name)?,
        project: row.id_if("project", ProjectId::from_uuid)?,
        deployment: row.id_if("deployment", DeploymentId::from_uuid)?,
        detail: row.get("detail")?,
    })
}
