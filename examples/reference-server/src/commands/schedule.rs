//! `deployr schedule`

use deployr_core::engine::{Engine, EngineError};
use deployr_core::model::{Page, Schedule};
use deployr_core::store::StoreError;
use deployr_core::system::Timestamp;
use deployr_core::value::{ScheduleName, Timetable};
use serde_json::{Value, json};

use crate::config::Settings;
use crate::exit::{Error, Exit, Result};
use crate::host::Host;
use crate::ui::Ui;
use crate::{table, view};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  deployr schedule add nightly site '30 4 * * * Europe/Vienna'
  deployr schedule add hourly docs @hourly
  deployr schedule list
  deployr schedule remove nightly

A timetable has minute, hour, day, month and weekday, as cron has them, or is a name such as
@daily; a time zone may follow, else it is UTC. When it comes, the newest commit of the project's
branch is deployed, as by `deployr deploy`. That takes a `deployr serve` or `deployr worker`; a
time that passes while none runs comes once, when one does.

`deployr queue pause redeploy` holds all of them up, `deployr queue resume redeploy` lets them go.")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Deploy a project again and again; in the place of the schedule of that name
    Add(Box<Add>),
    /// List the schedules, and when each comes next
    List,
    /// Forget a schedule
    Remove {
        /// Its name
        name: ScheduleName,
    },
}

#[derive(Debug, clap::Args)]
struct Add {
    /// What to call the schedule
    name: ScheduleName,
    /// The project's name or id
    project: String,
    /// When, as '30 4 * * * Europe/Vienna'
    timetable: Timetable,
}

pub(crate) async fn run(args: &Args, settings: &Settings, ui: &Ui) -> Result<Exit> {
    let host = Host::client(settings).await?;
    let (engine, actor) = (&host.engine, &host.actor);
    match &args.action {
        Action::Add(add) => {
            let project = host.project(&add.project).await?;
            let (name, timetable) = (add.name.clone(), add.timetable.clone());
            let added = engine.schedule_redeploy(actor, project.id, name, timetable);
            let added = added.await?;
            ui.emit(&shown(&added, Some(project.slug.as_str())));
            let (name, project, next) = (&added.name, &project.name, next(&added));
            ui.say(format_args!("{name} deploys {project}, next {next}"));
        }
        Action::List => list(&host, ui).await?,
        Action::Remove { name } => {
            let removed = engine.unschedule(&actor.tenant, name).await;
            removed.map_err(|error| {
                let unknown = matches!(error, EngineError::Store(StoreError::NotFound { .. }));
                let error = Error::from(error);
                match unknown {
                    true => error.hint("`deployr schedule list` shows those that there are"),
                    false => error,
                }
            })?;
            ui.emit(&json!({"event": "schedule_removed", "schedule": name}));
            ui.say(format_args!("{name} is removed"));
        }
    }
    Ok(Exit::Ok)
}

async fn list(host: &Host, ui: &Ui) -> Result<()> {
    let (engine, tenant) = (&host.engine, &host.actor.tenant);
    let mut rows = Vec::new();
    let mut page = Page::first(100);
    loop {
        let some = engine.schedules(tenant, page).await?;
        let Some(last) = some.last() else { break };
        page = Page::first(100).after(last.name.clone());
        for one in &some {
            let project = project_of(host, one).await?;
            ui.emit(&shown(one, project.as_deref()));
            rows.push(vec![
                one.name.to_string(),
                one.timetable.to_string(),
                project.unwrap_or_else(|| format!("job {}", one.job.kind)),
                next(one),
                one.last_at.map_or("-".into(), view::age),
            ]);
        }
    }
    match rows.is_empty() {
        true => ui.say("no schedules yet: `deployr schedule add` makes one"),
        false => table::show(ui, &["SCHEDULE", "WHEN", "DEPLOYS", "NEXT", "LAST"], &rows),
    }
    Ok(())
}

/// The slug of the project that comes; none where it is gone, or other jobs come.
async fn project_of(host: &Host, schedule: &Schedule) -> Result<Option<String>> {
    let Some(id) = Engine::scheduled_project(schedule) else {
        return Ok(None);
    };
    match host.engine.project(&host.actor, id).await {
        Ok(project) => Ok(Some(project.slug.to_string())),
        Err(EngineError::Store(StoreError::NotFound { .. })) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Stores keep no later time for what never comes again.
fn next(schedule: &Schedule) -> String {
    let never = |at: &Timestamp| *at >= Timestamp::MAX_UTC - std::time::Duration::from_secs(86_400);
    match schedule.next_at {
        Some(at) if never(&at) => "never".to_owned(),
        Some(at) => view::moment(at),
        None => "soon".to_owned(),
    }
}

fn shown(schedule: &Schedule, project: Option<&str>) -> Value {
    json!({
        "event": "schedule",
        "schedule": schedule.name,
        "timetable": schedule.timetable,
        "project": project,
        "job": schedule.job.kind,
        "next_at": schedule.next_at,
        "last_at": schedule.last_at,
    })
}
