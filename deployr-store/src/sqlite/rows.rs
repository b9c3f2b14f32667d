//! Rows to values and back, and the few shapes that queries have.

use deployr_core::log::{LogLine, LogStream};
use deployr_core::model::{
    AuditAction, AuditEntry, Deployment, DeploymentId, DeploymentStatus, EnvEntry, Fence, Job,
    JobId, JobState, Project, ProjectId, Release, ReleaseId, ReleaseState, Stage, StageTimes,
    WorkerId,
};
use deployr_core::secret::Sealed;
use deployr_core::store::LiveRelease;
use deployr_core::system::{Timestamp, timestamp_from_micros};
use deployr_core::value::{CommitId, EnvName, JobKind, ProjectName, Slug, TargetName, TenantId};
use rusqlite::types::FromSql;
use rusqlite::{Connection, Params, Row};
use uuid::Uuid;

use super::error::{DbResult, corrupt};

/// The first row, if there is one.
pub(super) fn one<T>(
    db: &Connection,
    sql: &str,
    params: impl Params,
    map: impl FnOnce(&Row<'_>) -> DbResult<T>,
) -> DbResult<Option<T>> {
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    rows.next()?.map(map).transpose()
}

/// All rows.
pub(super) fn many<T>(
    db: &Connection,
    sql: &str,
    params: impl Params,
    mut map: impl FnMut(&Row<'_>) -> DbResult<T>,
) -> DbResult<Vec<T>> {
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(map(row)?);
    }
    Ok(found)
}

/// Whether there is such a row.
pub(super) fn exists(db: &Connection, sql: &str, params: impl Params) -> DbResult<bool> {
    Ok(db.prepare_cached(sql)?.exists(params)?)
}

/// Carries out a statement that gives no rows; tells how many it changed.
pub(super) fn execute(db: &Connection, sql: &str, params: impl Params) -> DbResult<usize> {
    Ok(db.prepare_cached(sql)?.execute(params)?)
}

/// The only column of a row.
pub(super) fn scalar<T: FromSql>(row: &Row<'_>) -> DbResult<T> {
    Ok(row.get(0)?)
}

/// A value as the JSON that is stored.
pub(super) fn to_json(value: &impl serde::Serialize) -> DbResult<String> {
    serde_json::to_string(value).map_err(|error| corrupt("a value to be stored", error))
}

pub(super) fn state_name(state: ReleaseState) -> &'static str {
    match state {
        ReleaseState::Placed => "placed",
        ReleaseState::Live => "live",
        ReleaseState::Kept => "kept",
        ReleaseState::Gone => "gone",
    }
}

/// Reads the columns of one row; says which thing cannot be read where one cannot.
struct Reader<'r, 's> {
    what: &'static str,
    row: &'r Row<'s>,
}

impl Reader<'_, '_> {
    fn get<T: FromSql>(&self, column: &str) -> DbResult<T> {
        self.row.get(column).map_err(|error| corrupt(self.what, error))
    }

    fn id<T>(&self, column: &str, from: fn(Uuid) -> T) -> DbResult<T> {
        self.get(column).map(from)
    }

    fn id_if<T>(&self, column: &str, from: fn(Uuid) -> T) -> DbResult<Option<T>> {
        Ok(self.get::<Option<Uuid>>(column)?.map(from))
    }

    fn time(&self, column: &str) -> DbResult<Timestamp> {
        self.get(column).map(timestamp_from_micros)
    }

    fn time_if(&self, column: &str) -> DbResult<Option<Timestamp>> {
        Ok(self.get::<Option<i64>>(column)?.map(timestamp_from_micros))
    }

    fn parse<T, E: ToString>(
        &self,
        column: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> DbResult<T> {
        let text: String = self.get(column)?;
        parse(&text).map_err(|error| corrupt(self.what, format!("{column}: {}", error.to_string())))
    }

    fn parse_if<T, E: ToString>(
        &self,
        column: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> DbResult<Option<T>> {
        match self.get::<Option<String>>(column)? {
            Some(_) => self.parse(column, parse).map(Some),
            None => Ok(None),
        }
    }

    fn named<T>(&self, column: &str, from_name: fn(&str) -> Option<T>) -> DbResult<T> {
        self.parse(column, |text| from_name(text).ok_or_else(|| format!("unknown: {text:?}")))
    }

    fn json<T: serde::de::DeserializeOwned>(&self, column: &str) -> DbResult<T> {
        self.parse(column, serde_json::from_str)
    }

    fn sealed(&self, column: &str) -> DbResult<Sealed> {
        let bytes: Vec<u8> = self.get(column)?;
        Sealed::from_bytes(bytes)
            .map_err(|error| corrupt(self.what, format!("{column}: {error}")))
    }
}

pub(super) fn project(row: &Row<'_>) -> DbResult<Project> {
    let row = Reader { what: "a project", row };
    Ok(Project {
        id: row.id("id", ProjectId::from_uuid)?,
        tenant: row.parse("tenant", TenantId::parse)?,
        name: row.parse("name", ProjectName::parse)?,
        slug: row.parse("slug", Slug::parse)?,
        settings: row.json("settings")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
    })
}

pub(super) fn env_entry(row: &Row<'_>) -> DbResult<EnvEntry> {
    let row = Reader { what: "a variable", row };
    Ok(EnvEntry {
        name: row.parse("name", EnvName::parse)?,
        value: row.sealed("value")?,
        updated_at: row.time("updated_at")?,
    })
}

pub(super) fn deployment(row: &Row<'_>) -> DbResult<Deployment> {
    let row = Reader { what: "a deployment", row };
    Ok(Deployment {
        id: row.id("id", DeploymentId::from_uuid)?,
        tenant: row.parse("tenant", TenantId::parse)?,
        project: row.id("project", ProjectId::from_uuid)?,
        number: row.get("number")?,
        job: row.id("job", JobId::from_uuid)?,
        cause: row.json("cause")?,
        commit: row.parse_if("commit_id", CommitId::parse)?,
        status: row.named("status", DeploymentStatus::from_name)?,
        stage: row.named("stage", Stage::from_name)?,
        release: row.id_if("release", ReleaseId::from_uuid)?,
        failure: row.parse_if("failure", serde_json::from_str)?,
        actor: row.get("actor")?,
        created_at: row.time("created_at")?,
        started_at: row.time_if("started_at")?,
        finished_at: row.time_if("finished_at")?,
    })
}

pub(super) fn stage_times(row: &Row<'_>) -> DbResult<StageTimes> {
    let row = Reader { what: "a stage", row };
    Ok(StageTimes {
        stage: row.named("stage", Stage::from_name)?,
        attempt: row.get("attempt")?,
        started_at: row.time("started_at")?,
        ended_at: row.time_if("ended_at")?,
    })
}

pub(super) fn job(row: &Row<'_>) -> DbResult<Job> {
    let row = Reader { what: "a job", row };
    let state = row.named("state", JobState::from_name)?;
    let worker = row.id_if("worker", WorkerId::from_uuid)?;
    Ok(Job {
        id: row.id("id", JobId::from_uuid)?,
        tenant: row.parse("tenant", TenantId::parse)?,
        kind: row.parse("kind", JobKind::parse)?,
        input: row.json("input")?,
        concurrency_key: row.get("concurrency_key")?,
        state,
        run_at: row.time("run_at")?,
        attempt: row.get("attempt")?,
        max_attempts: row.get("max_attempts")?,
        fence: Fence(row.get("fence")?),
        // The row remembers its last holder; the job has one only while it is held.
        worker: worker.filter(|_| state == JobState::Running),
        lease_until: row.time_if("lease_until")?,
        start_by: row.time("start_by")?,
        cancel_requested: row.get("cancel_requested")?,
        error: row.get("error")?,
        created_at: row.time("created_at")?,
        finished_at: row.time_if("finished_at")?,
    })
}

pub(super) fn log_line(row: &Row<'_>) -> DbResult<LogLine> {
    let row = Reader { what: "a log line", row };
    let stream = row.get("stream")?;
    Ok(LogLine {
        seq: row.get("seq")?,
        at: row.time("at")?,
        stream: LogStream::from_number(stream)
            .ok_or_else(|| corrupt("a log line", format!("unknown stream: {stream}")))?,
        text: row.get("text")?,
    })
}

pub(super) fn release(row: &Row<'_>) -> DbResult<Release> {
    let row = Reader { what: "a release", row };
    Ok(Release {
        id: row.id("id", ReleaseId::from_uuid)?,
        tenant: row.parse("tenant", TenantId::parse)?,
        project: row.id("project", ProjectId::from_uuid)?,
        deployment: row.id("deployment", DeploymentId::from_uuid)?,
        number: row.get("number")?,
        target: row.parse("target", TargetName::parse)?,
        commit: row.parse("commit_id", CommitId::parse)?,
        digest: row.get("digest")?,
        recipe: row.json("recipe")?,
        env: row.sealed("env")?,
        state: row.named("state", |name| {
            [ReleaseState::Placed, ReleaseState::Live, ReleaseState::Kept, ReleaseState::Gone]
                .into_iter()
                .find(|state| state_name(*state) == name)
        })?,
        created_at: row.time("created_at")?,
    })
}

pub(super) fn live_release(row: &Row<'_>) -> DbResult<LiveRelease> {
    let columns = Reader { what: "a live release", row };
    Ok(LiveRelease {
        release: release(row)?,
        slug: columns.parse("slug", Slug::parse)?,
        turn: columns.get("live_turn")?,
    })
}

pub(super) fn audit_entry(row: &Row<'_>) -> DbResult<AuditEntry> {
    let row = Reader { what: "an audit entry", row };
    Ok(AuditEntry {
        seq: row.get("seq")?,
        at: row.time("at")?,
        tenant: row.parse("tenant", TenantId::parse)?,
        actor: row.get("actor")?,
        action: row.named("action", AuditAction::from_name)?,
        project: row.id_if("project", ProjectId::from_uuid)?,
        deployment: row.id_if("deployment", DeploymentId::from_uuid)?,
        detail: row.get("detail")?,
    })
}
