//! `deployr plan`

use deployr_core::engine::{Plan, ProjectRequest};
use deployr_core::model::{Project, Runtime};
use deployr_core::value::GitRef;
use serde_json::json;

use super::branch;
use super::options::Reference;
use super::settings::Build;
use crate::config::Settings;
use crate::data::DataDir;
use crate::exit::{Exit, Result};
use crate::host::Host;
use crate::repository;
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
    let plan = match known(args, settings).await? {
        Some((host, project)) => host.engine.plan(&host.actor, project.id, reference).await?,
        None => plan_of_new(args, settings, reference).await?,
    };
    ui.emit(&json!({"plan": plan}));
    show(&plan, ui);
    Ok(Exit::Ok)
}

/// The project of that name, where there is a data directory with one.
async fn known(args: &Args, settings: &Settings) -> Result<Option<(Host, Project)>> {
    let Ok(data) = DataDir::existing(&settings.data) else {
        return Ok(None);
    };
    let host = Host::open(settings, &data, None).await?;
    let project = host.find(&args.what).await?;
    Ok(project.map(|project| (host, project)))
}

/// What is no project yet becomes one, in a database that is thrown away.
async fn plan_of_new(args: &Args, settings: &Settings, reference: Option<GitRef>) -> Result<Plan> {
    let url = repository::parse(&args.what, &settings.url_policy())?;
    let (host, _folder) = Host::scratch(settings).await?;
    let mut request = ProjectRequest::new(repository::name(&url)?.as_str(), url)?;
    request.settings.branch =
        branch::of_new(&host.engine, &request.settings.source, reference.as_ref()).await?;
    args.build.apply(&mut request.settings);
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
