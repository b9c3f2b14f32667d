//! Rows to values.

use std::fmt::Display;
use std::str::FromStr;

use deployr_core::log::{LogLine, LogStream};
use deployr_core::model::{
    AuditAction, AuditEntry, Deployment, DeploymentId, DeploymentStatus, EnvEntry, Fence, Job,
    JobId, JobState, Project, ProjectId, Release, ReleaseId, ReleaseState, Stage, StageTimes,
    WorkerId,
};
use deployr_core::secret::Sealed;
use deployr_core::store::LiveRelease;
use deployr_core::system::{Timestamp, timestamp_from_micros};
use rusqlite::Row;
use rusqlite::types::FromSql;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::error::{DbError, DbResult, corrupt};

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
        self.row
            .get(column)
            .map_err(|error| corrupt(self.what, &error))
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

    fn bad(&self, column: &str, reason: &dyn Display) -> DbError {
        corrupt(self.what, &format!("{column}: {reason}"))
    }

    fn parse<T: FromStr<Err: Display>>(&self, column: &str) -> DbResult<T> {
        self.get::<String>(column)?
            .parse()
            .map_err(|error| self.bad(column, &error))
    }

    fn parse_if<T: FromStr<Err: Display>>(&self, column: &str) -> DbResult<Option<T>> {
        let text: Option<String> = self.get(column)?;
        text.map(|text| text.parse().map_err(|error| self.bad(column, &error)))
            .transpose()
    }

    fn named<T>(&self, column: &str, from_name: fn(&str) -> Option<T>) -> DbResult<T> {
        let name: String = self.get(column)?;
        from_name(&name).ok_or_else(|| self.bad(column, &format_args!("unknown: {name:?}")))
    }

    fn json<T: DeserializeOwned>(&self, column: &str) -> DbResult<T> {
        let text: String = self.get(column)?;
        serde_json::from_str(&text).map_err(|error| self.bad(column, &error))
    }

    fn json_if<T: DeserializeOwned>(&self, column: &str) -> DbResult<Option<T>> {
        match self.get::<Option<String>>(column)? {
            Some(_) => self.json(column).map(Some),
            None => Ok(None),
        }
    }

    fn sealed(&self, column: &str) -> DbResult<Sealed> {
        let bytes: Vec<u8> = self.get(column)?;
        Sealed::from_bytes(bytes).map_err(|error| self.bad(column, &error))
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

pub(super) fn job(row: &Row<'_>) -> DbResult<Job> {
    let row = Reader { what: "a job", row };
    let state = row.named("state", JobState::from_name)?;
    let worker = row.id_if("worker", WorkerId::from_uuid)?;
    Ok(Job {
        id: row.id("id", JobId::from_uuid)?,
        tenant: row.parse("tenant")?,
        kind: row.parse("kind")?,
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
    let row = Reader {
        what: "a log line",
        row,
    };
    let stream = row.get("stream")?;
    Ok(LogLine {
        seq: row.get("seq")?,
        at: row.time("at")?,
        stream: LogStream::from_number(stream)
            .ok_or_else(|| corrupt("a log line", &format!("unknown stream: {stream}")))?,
        text: row.get("text")?,
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
        turn: columns.get("live_turn")?,
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
