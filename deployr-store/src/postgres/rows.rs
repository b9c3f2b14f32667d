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
use deployr_core::system::Timestamp;
use deployr_core::value::{InvalidValue, JobKind, Label};
use serde::de::DeserializeOwned;
use sqlx::postgres::{PgRow, Postgres};
use sqlx::{ColumnIndex, Decode, Row, Type};
use uuid::Uuid;

use super::error::{DbResult, corrupt};
use super::time::Time;

/// The columns of a table, in the order in which they are read here. A statement names
/// them all: one with `*` would fail on old connections when a later version adds some.
macro_rules! columns {
    (projects) => {
        "id, tenant, name, slug, settings, created_at, updated_at"
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
struct Reader<'r> {
    what: &'static str,
    row: &'r PgRow,
}

/// The name or the place of a column.
trait Column: ColumnIndex<PgRow> + Display + Copy {}

impl<C: ColumnIndex<PgRow> + Display + Copy> Column for C {}

impl<'r> Reader<'r> {
    fn get<T: Decode<'r, Postgres> + Type<Postgres>>(&self, column: impl Column) -> DbResult<T> {
        self.row
            .try_get(column)
            .map_err(|error| corrupt(self.what, &error))
    }

    fn id<T>(&self, column: impl Column, from: fn(Uuid) -> T) -> DbResult<T> {
        self.get(column).map(from)
    }

    fn id_if<T>(&self, column: impl Column, from: fn(Uuid) -> T) -> DbResult<Option<T>> {
        Ok(self.get::<Option<Uuid>>(column)?.map(from))
    }

    /// A number that is never below 0.
    fn count(&self, column: impl Column) -> DbResult<u32> {
        let number: i32 = self.get(column)?;
        u32::try_from(number).map_err(|error| corrupt(self.what, &format!("{column}: {error}")))
    }

    fn time(&self, column: impl Column) -> DbResult<Timestamp> {
        Ok(self.get::<Time>(column)?.0)
    }

    fn time_if(&self, column: impl Column) -> DbResult<Option<Timestamp>> {
        Ok(self.get::<Option<Time>>(column)?.map(|time| time.0))
    }

    /// A text, and what is made of it; none for NULL.
    fn text_if<T, E: Display>(
        &self,
        column: impl Column,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> DbResult<Option<T>> {
        let text: Option<&str> = self.get(column)?;
        text.map(read)
            .transpose()
            .map_err(|error| corrupt(self.what, &format!("{column}: {error}")))
    }

    fn text<T, E: Display>(
        &self,
        column: impl Column,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> DbResult<T> {
        self.text_if(column, read)?
            .ok_or_else(|| corrupt(self.what, &format!("{column}: a value is missing")))
    }

    fn parse<T: FromStr<Err: Display>>(&self, column: impl Column) -> DbResult<T> {
        self.text(column, str::parse)
    }

    fn parse_if<T: FromStr<Err: Display>>(&self, column: &str) -> DbResult<Option<T>> {
        self.text_if(column, str::parse)
    }

    fn named<T>(&self, column: impl Column, from_name: fn(&str) -> Option<T>) -> DbResult<T> {
        self.text(column, |name| {
            from_name(name).ok_or_else(|| format!("unknown: {name:?}"))
        })
    }

    fn json<T: DeserializeOwned>(&self, column: impl Column) -> DbResult<T> {
        self.text(column, |text| serde_json::from_str(text))
    }

    fn json_if<T: DeserializeOwned>(&self, column: impl Column) -> DbResult<Option<T>> {
        self.text_if(column, |text| serde_json::from_str(text))
    }

    fn sealed(&self, column: &str) -> DbResult<Sealed> {
        let bytes: Vec<u8> = self.get(column)?;
        Sealed::from_bytes(bytes).map_err(|error| corrupt(self.what, &format!("{column}: {error}")))
    }
}

pub(super) fn project(row: &PgRow) -> DbResult<Project> {
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

pub(super) fn env_entry(row: &PgRow) -> DbResult<EnvEntry> {
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

pub(super) fn deployment(row: &PgRow) -> DbResult<Deployment> {
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

pub(super) fn stage_times(row: &PgRow) -> DbResult<StageTimes> {
    let row = Reader {
        what: "a stage",
        row,
    };
    Ok(StageTimes {
        stage: row.named("stage", Stage::from_name)?,
        attempt: row.count("attempt")?,
        started_at: row.time("started_at")?,
        ended_at: row.time_if("ended_at")?,
    })
}

/// Of a statement whose first columns are those of `jobs`. A job is read more often than
/// everything else, and each name would be looked for among all of them.
pub(super) fn job(row: &PgRow) -> DbResult<Job> {
    job_from(row, 0)
}

/// As [`job`], of columns that begin at `first`.
pub(super) fn job_from(row: &PgRow, first: usize) -> DbResult<Job> {
    let row = Reader { what: "a job", row };
    let column = |number| first + number;
    let needs: Option<Vec<String>> = row.get(column(6))?;
    let needs = needs.unwrap_or_default().into_iter().map(Label::parse);
    let needs: Result<Labels, InvalidValue> = needs.collect();
    let state = row.named(column(7), JobState::from_name)?;
    let worker = row.id_if(column(12), WorkerId::from_uuid)?;
    Ok(Job {
        id: row.id(column(0), JobId::from_uuid)?,
        tenant: row.parse(column(1))?,
        kind: row.parse(column(2))?,
        input: row.json(column(3))?,
        priority: row.get(column(4))?,
        limits: row.json_if(column(5))?.unwrap_or_default(),
        needs: needs.map_err(|error| corrupt("a job", &error))?,
        state,
        run_at: row.time(column(8))?,
        attempt: row.count(column(9))?,
        max_attempts: row.count(column(10))?,
        fence: Fence(row.get(column(11))?),
        // The row remembers its last holder; the job has one only while it is held.
        worker: worker.filter(|_| state == JobState::Running),
        lease_until: row.time_if(column(13))?,
        start_by: row.time(column(14))?,
        cancel_requested: row.get(column(15))?,
        error: row.get(column(16))?,
        created_at: row.time(column(17))?,
        finished_at: row.time_if(column(18))?,
    })
}

/// Of one column.
pub(super) fn kind(row: &PgRow) -> DbResult<JobKind> {
    let row = Reader {
        what: "a kind",
        row,
    };
    row.parse(0_usize)
}

/// Of the columns `seq, at, stream, text`: by their places, for there are many rows.
pub(super) fn log_line(row: &PgRow) -> DbResult<LogLine> {
    let row = Reader {
        what: "a log line",
        row,
    };
    let stream: i16 = row.get(2_usize)?;
    Ok(LogLine {
        seq: row.get(0_usize)?,
        at: row.time(1_usize)?,
        stream: LogStream::from_number(stream.into())
            .ok_or_else(|| corrupt("a log line", &format!("unknown stream: {stream}")))?,
        text: row.get(3_usize)?,
    })
}

pub(super) fn release(row: &PgRow) -> DbResult<Release> {
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

pub(super) fn live_release(row: &PgRow) -> DbResult<LiveRelease> {
    let columns = Reader {
        what: "a live release",
        row,
    };
    Ok(LiveRelease {
        release: release(row)?,
        slug: columns.parse("slug")?,
    })
}

pub(super) fn audit_entry(row: &PgRow) -> DbResult<AuditEntry> {
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
