//! `deployr plan`

use deployr_core::engine::{EngineError, Plan, ProjectRequest};
use deployr_core::model::Runtime;
use deployr_core::store::StoreError;
use deployr_core::value::GitRef;
use serde_json::json;

use super::options::{Build, Reference};
use crate::config::Settings;
use crate::data::DataDir;
use crate::exit::{Error, Exit, Result};
use crate::host::Host;
use crate::repository::Repository;
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  deployr plan site
  deployr plan https://github.com/acme/site --branch next

Fetches and reads the source; runs none of it, and changes nothing.")]
pub(crate) struct Args {
    /// A project's name, or a repository
    what: String,
    #[command(flatten)]
    reference: Reference,
    #[command(flatten)]
    build: Build,
}

pub(crate) async fn run(args: &Args, settings: &Settings, ui: &Ui) -> Result<Exit> {
    let reference = args.reference.parse()?;
    let data = DataDir::existing(&settings.data).ok();
    let plan = match &data {
        Some(data) => {
            let host = Host::open(settings, data, None).await?;
            match host.engine.project_by_name(&host.actor, &args.what).await {
                Ok(project) => host.engine.plan(&host.actor, project.id, reference).await?,
                Err(EngineError::Invalid(_) | EngineError::Store(StoreError::NotFound { .. })) => {
                    plan_of_new(args, settings, Some(data), reference).await?
                }
                Err(error) => return Err(error.into()),
            }
        }
        None => plan_of_new(args, settings, None, reference).await?,
    };
    ui.emit(&json!({"plan": plan}));
    show(&plan, ui);
    Ok(Exit::Ok)
}

/// What is no project yet becomes one, in a database that is thrown away; so is all the
/// rest where there is no data directory yet.
async fn plan_of_new(
    args: &Args,
    settings: &Settings,
    data: Option<&DataDir>,
    reference: Option<GitRef>,
) -> Result<Plan> {
    let repository = Repository::parse(&args.what, &settings.url_policy())?;
    let mut request =
        ProjectRequest::new(&repository.name()?, repository.url)?.branch(&repository.branch)?;
    args.build.apply(&mut request.settings)?;
    let scratch = tempfile::tempdir().map_err(|error| Error::io("make a folder", error))?;
    let database = scratch.path().join("plan.db");
    let data = match data {
        Some(data) => data.clone(),
        None => DataDir::open(&scratch.path().join("data"))?,
    };
    let host = Host::over(&database, settings, &data, None).await?;
    let project = host.engine.create_project(&host.actor, request).await?;
    Ok(host.engine.plan(&host.actor, project.id, reference).await?)
}

fn show(plan: &Plan, ui: &Ui) {
    let recipe = &plan.recipe;
    ui.say(format_args!(
        "commit {} as {}",
        plan.commit.short(),
        recipe.framework
    ));
    ui.say(match &recipe.runtime {
        Runtime::Static { .. } => "serves files".to_owned(),
        Runtime::Process { start } => format!("serves with `{start}`"),
    });
    for (at, step) in plan.steps.iter().enumerate() {
        ui.say(format_args!("{:>3}. {step}", at + 1));
    }
    ui.say(if plan.zero_downtime {
        "no request fails meanwhile"
    } else {
        "the site is away for a moment meanwhile"
    });
}
