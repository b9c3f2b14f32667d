//! Rows to values, whichever database they come from.

use std::fmt::{self, Display};
use std::str::FromStr;

use deployr_core::log::{LogLine, LogStream};
use deployr_core::model::{
    AuditAction, AuditEntry, Deployment, DeploymentId, DeploymentStatus, Domain, EnvEntry, JobId,
    Project, ProjectId, Release, ReleaseId, ReleaseState, Schedule, Stage, StageTimes,
};
use deployr_core::secret::Sealed;
use deployr_core::store::{KindStats, LiveRelease, WorkerSeen};
use deployr_core::system::Timestamp;
use deployr_core::value::JobKind;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::error::{DbResult, corrupt};

/// The name or the place of a column.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Column {
    Name(&'static str),
    At(usize),
}

impl From<&'static str> for Column {
    fn from(name: &'static str) -> Self {
        Self::Name(name)
    }
}

impl From<usize> for Column {
    fn from(place: usize) -> Self {
        Self::At(place)
    }
}

impl Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::At(place) => write!(f, "column {place}"),
        }
    }
}

/// What a column holds; none for NULL. The error says what is wrong with it.
pub(crate) type Cell<T> = Result<Option<T>, String>;

/// A row of a database: how it keeps the few types that columns have.
pub(crate) trait Row {
    fn uuid(&self, column: Column) -> Cell<Uuid>;
    fn integer(&self, column: Column) -> Cell<i64>;
    fn flag(&self, column: Column) -> Cell<bool>;
    fn text(&self, column: Column) -> Cell<&str>;
    fn bytes(&self, column: Column) -> Cell<&[u8]>;
    fn time(&self, column: Column) -> Cell<Timestamp>;
}

/// Reads the columns of one row; says which thing cannot be read where one cannot.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'r> {
    what: &'static str,
    row: &'r dyn Row,
}

impl<'r> Reader<'r> {
    pub(crate) fn new(what: &'static str, row: &'r dyn Row) -> Self {
        Self { what, row }
    }

    fn cell<T, U, E: Display>(
        &self,
        column: Column,
        cell: Cell<T>,
        read: impl FnOnce(T) -> Result<U, E>,
    ) -> DbResult<Option<U>> {
        let bad = |error: &dyn Display| corrupt(self.what, &format!("{column}: {error}"));
        let value = cell.map_err(|error| bad(&error))?;
        value.map(read).transpose().map_err(|error| bad(&error))
    }

    fn required<T>(&self, column: Column, value: Option<T>) -> DbResult<T> {
        value.ok_or_else(|| corrupt(self.what, &format!("{column}: a value is missing")))
    }

    pub(crate) fn id_if<T>(
        &self,
        column: impl Into<Column>,
        from: fn(Uuid) -> T,
    ) -> DbResult<Option<T>> {
        let column = column.into();
        let uuid = self.row.uuid(column);
        self.cell(column, uuid, |uuid| Ok::<_, String>(from(uuid)))
    }

    pub(crate) fn id<T>(&self, column: impl Into<Column>, from: fn(Uuid) -> T) -> DbResult<T> {
        let column = column.into();
        self.required(column, self.id_if(column, from)?)
    }

    pub(crate) fn number_if<T>(&self, column: impl Into<Column>) -> DbResult<Option<T>>
    where
        T: TryFrom<i64, Error: Display>,
    {
        let column = column.into();
        self.cell(column, self.row.integer(column), T::try_from)
    }

    pub(crate) fn number<T: TryFrom<i64, Error: Display>>(
        &self,
        column: impl Into<Column>,
    ) -> DbResult<T> {
        let column = column.into();
        self.required(column, self.number_if(column)?)
    }

    pub(crate) fn flag(&self, column: impl Into<Column>) -> DbResult<bool> {
        let column = column.into();
        let flag = self.cell(column, self.row.flag(column), Ok::<_, String>)?;
        self.required(column, flag)
    }

    pub(crate) fn time_if(&self, column: impl Into<Column>) -> DbResult<Option<Timestamp>> {
        let column = column.into();
        self.cell(column, self.row.time(column), Ok::<_, String>)
    }

    pub(crate) fn time(&self, column: impl Into<Column>) -> DbResult<Timestamp> {
        let column = column.into();
        self.required(column, self.time_if(column)?)
    }

    /// A text, and what is made of it.
    pub(crate) fn text_if<T, E: Display>(
        &self,
        column: impl Into<Column>,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> DbResult<Option<T>> {
        let column = column.into();
        self.cell(column, self.row.text(column), read)
    }

    pub(crate) fn text<T, E: Display>(
        &self,
        column: impl Into<Column>,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> DbResult<T> {
        let column = column.into();
        self.required(column, self.text_if(column, read)?)
    }

    pub(crate) fn parse<T: FromStr<Err: Display>>(&self, column: impl Into<Column>) -> DbResult<T> {
        self.text(column, str::parse)
    }

    pub(crate) fn parse_if<T: FromStr<Err: Display>>(
        &self,
        column: impl Into<Column>,
    ) -> DbResult<Option<T>> {
        self.text_if(column, str::parse)
    }

    pub(crate) fn named<T>(
        &self,
        column: impl Into<Column>,
        from_name: fn(&str) -> Option<T>,
    ) -> DbResult<T> {
        self.text(column, |name| {
            from_name(name).ok_or_else(|| format!("unknown: {name:?}"))
        })
    }

    pub(crate) fn json<T: DeserializeOwned>(&self, column: impl Into<Column>) -> DbResult<T> {
        self.text(column, |text| serde_json::from_str(text))
    }

    pub(crate) fn json_if<T: DeserializeOwned>(
        &self,
        column: impl Into<Column>,
    ) -> DbResult<Option<T>> {
        self.text_if(column, |text| serde_json::from_str(text))
    }

    fn sealed(&self, column: &'static str) -> DbResult<Sealed> {
        let column = column.into();
        let sealed = |bytes: &[u8]| Sealed::from_bytes(bytes);
        let sealed = self.cell(column, self.row.bytes(column), sealed)?;
        self.required(column, sealed)
    }
}

pub(crate) fn project(row: &dyn Row) -> DbResult<Project> {
    let row = Reader::new("a project", row);
    Ok(Project {
        id: row.id("id", ProjectId::from_uuid)?,
        tenant: row.parse("tenant")?,
        name: row.parse("name")?,
        slug: row.parse("slug")?,
        settings: row.json("settings")?,
        removal: row.json_if("removal")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
    })
}

pub(crate) fn env_entry(row: &dyn Row) -> DbResult<EnvEntry> {
    let row = Reader::new("a variable", row);
    Ok(EnvEntry {
        name: row.parse("name")?,
        value: row.sealed("value")?,
        updated_at: row.time("updated_at")?,
    })
}

pub(crate) fn domain(row: &dyn Row) -> DbResult<Domain> {
    let row = Reader::new("a domain", row);
    Ok(Domain {
        domain: row.parse("domain")?,
        tenant: row.parse("tenant")?,
        project: row.id("project", ProjectId::from_uuid)?,
        token: row.text("token", |text| Ok::<_, String>(text.to_owned()))?,
        verified_at: row.time_if("verified_at")?,
        created_at: row.time("created_at")?,
    })
}

pub(crate) fn deployment(row: &dyn Row) -> DbResult<Deployment> {
    let row = Reader::new("a deployment", row);
    Ok(Deployment {
        id: row.id("id", DeploymentId::from_uuid)?,
        tenant: row.parse("tenant")?,
        project: row.id("project", ProjectId::from_uuid)?,
        number: row.number("number")?,
        job: row.id("job", JobId::from_uuid)?,
        cause: row.json("cause")?,
        commit: row.parse_if("commit_id")?,
        status: row.named("status", DeploymentStatus::from_name)?,
        stage: row.named("stage", Stage::from_name)?,
        release: row.id_if("release", ReleaseId::from_uuid)?,
        failure: row.json_if("failure")?,
        actor: row.parse("actor")?,
        created_at: row.time("created_at")?,
        started_at: row.time_if("started_at")?,
        finished_at: row.time_if("finished_at")?,
    })
}

pub(crate) fn stage_times(row: &dyn Row) -> DbResult<StageTimes> {
    let row = Reader::new("a stage", row);
    Ok(StageTimes {
        stage: row.named("stage", Stage::from_name)?,
        attempt: row.number("attempt")?,
        started_at: row.time("started_at")?,
        ended_at: row.time_if("ended_at")?,
    })
}

pub(crate) fn release(row: &dyn Row) -> DbResult<Release> {
    let row = Reader::new("a release", row);
    Ok(Release {
        id: row.id("id", ReleaseId::from_uuid)?,
        tenant: row.parse("tenant")?,
        project: row.id("project", ProjectId::from_uuid)?,
        deployment: row.id("deployment", DeploymentId::from_uuid)?,
        number: row.number("number")?,
        target: row.parse("target")?,
        commit: row.parse("commit_id")?,
        digest: row.parse("digest")?,
        recipe: row.json("recipe")?,
        env: row.sealed("env")?,
        state: row.named("state", ReleaseState::from_name)?,
        live_turn: row.number_if("live_turn")?,
        created_at: row.time("created_at")?,
    })
}

pub(crate) fn live_release(row: &dyn Row) -> DbResult<LiveRelease> {
    Ok(LiveRelease {
        release: release(row)?,
        slug: Reader::new("a live release", row).parse("slug")?,
    })
}

pub(crate) fn audit_entry(row: &dyn Row) -> DbResult<AuditEntry> {
    let row = Reader::new("an audit entry", row);
    Ok(AuditEntry {
        seq: row.number("seq")?,
        at: row.time("at")?,
        tenant: row.parse("tenant")?,
        actor: row.parse("actor")?,
        action: row.named("action", AuditAction::from_name)?,
        project: row.id_if("project", ProjectId::from_uuid)?,
        deployment: row.id_if("deployment", DeploymentId::from_uuid)?,
        detail: row.parse("detail")?,
    })
}

pub(crate) fn schedule(row: &dyn Row) -> DbResult<Schedule> {
    let row = Reader::new("a schedule", row);
    let (tenant, name) = (row.parse("tenant")?, row.parse("name")?);
    let (timetable, job) = (row.parse("timetable")?, row.json("job")?);
    let mut schedule = Schedule::new(tenant, name, timetable, job, row.time("created_at")?);
    schedule.next_at = row.time_if("next_at")?;
    schedule.last_at = row.time_if("last_at")?;
    schedule.updated_at = row.time("updated_at")?;
    Ok(schedule)
}

/// With the store's present time beside it.
pub(crate) fn worker(row: &dyn Row) -> DbResult<WorkerSeen> {
    let row = Reader::new("a worker", row);
    let (since, seen_at) = (row.time("since")?, row.time("seen_at")?);
    let present = row.time("present")?;
    Ok(WorkerSeen::new(
        row.json("report")?,
        since,
        seen_at,
        present,
    ))
}

pub(crate) fn kind_stats(row: &dyn Row) -> DbResult<KindStats> {
    let row = Reader::new("a kind", row);
    Ok(KindStats {
        kind: row.parse("kind")?,
        pending: row.number("pending")?,
        queued: row.number("queued")?,
        running: row.number("running")?,
        rescued: row.number("rescued")?,
        oldest: row.time_if("oldest")?,
    })
}

/// Of one column.
pub(crate) fn kind(row: &dyn Row) -> DbResult<JobKind> {
    Reader::new("a kind", row).parse(0)
}

/// Of the columns `seq, at, stream, text`: by their places, for there are many rows.
pub(crate) fn log_line(row: &dyn Row) -> DbResult<LogLine> {
    let row = Reader::new("a log line", row);
    let stream: i64 = row.number(2)?;
    Ok(LogLine {
        seq: row.number(0)?,
        at: row.time(1)?,
        stream: LogStream::from_number(stream)
            .ok_or_else(|| corrupt("a log line", &format!("unknown stream: {stream}")))?,
        text: row.parse(3)?,
    })
}

/// The readers above, for the rows of one database.
macro_rules! readers {
    ($row:ty) => {
        $crate::rows::readers!($row: project -> deployr_core::model::Project);
        $crate::rows::readers!($row: env_entry -> deployr_core::model::EnvEntry);
        $crate::rows::readers!($row: domain -> deployr_core::model::Domain);
        $crate::rows::readers!($row: deployment -> deployr_core::model::Deployment);
        $crate::rows::readers!($row: stage_times -> deployr_core::model::StageTimes);
        $crate::rows::readers!($row: release -> deployr_core::model::Release);
        $crate::rows::readers!($row: live_release -> deployr_core::store::LiveRelease);
        $crate::rows::readers!($row: schedule -> deployr_core::model::Schedule);
        $crate::rows::readers!($row: worker -> deployr_core::store::WorkerSeen);
        $crate::rows::readers!($row: kind_stats -> deployr_core::store::KindStats);
        $crate::rows::readers!($row: kind -> deployr_core::value::JobKind);
        $crate::rows::readers!($row: log_line -> deployr_core::log::LogLine);
        $crate::rows::readers!($row: audit_entry -> deployr_core::model::AuditEntry);
    };
    ($row:ty: $name:ident -> $value:ty) => {
        pub(super) fn $name(row: &$row) -> $crate::error::DbResult<$value> {
            $crate::rows::$name(row)
        }
    };
}
pub(crate) use readers;

/// What is in a row; none, and a word about it, where it cannot be read.
pub(crate) fn readable<T>(row: DbResult<T>) -> Option<T> {
    row.inspect_err(|error| tracing::warn!(?error, "left out a row that cannot be read"))
        .ok()
}
