//! `deployr plan`

use deployr_core::engine::{Plan, ProjectRequest};
use deployr_core::model::{ProjectSettings, Runtime};
use deployr_core::value::{EnvSet, GitRef, ProjectName, TargetName};
use serde_json::json;

use super::branch;
use super::options::Reference;
use super::settings::Build;
use crate::config::Settings;
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
    /// A project's name or id, or a repository
    what: String,
    #[command(flatten)]
    reference: Reference,
    #[command(flatten)]
    build: Build,
}

pub(crate) async fn run(args: &Args, settings: &Settings, ui: &Ui) -> Result<Exit> {
    let reference = args.reference.parse()?;
    let plan = match Host::known(settings, &args.what).await? {
        Some((host, project)) => {
            let mut wanted = project.settings.clone();
            args.build.apply(&mut wanted);
            if wanted == project.settings {
                host.engine.plan(&host.actor, project.id, reference).await?
            } else {
                let (host, _folder) = Host::scratch(settings).await?;
                plan_of(&host, project.name, wanted, reference).await?
            }
        }
        None => {
            let url = repository::parse(&args.what, &settings.url_policy())?;
            let (host, _folder) = Host::scratch(settings).await?;
            let branch = branch::of_new(&host.engine, &url, reference.as_ref()).await?;
            let name = repository::name(&url)?;
            let mut wanted = ProjectSettings::new(url, branch, TargetName::parse("local")?);
            args.build.apply(&mut wanted);
            plan_of(&host, name, wanted, reference).await?
        }
    };
    ui.emit(&json!({"plan": plan}));
    show(&plan, ui);
    Ok(Exit::Ok)
}

/// What is no project becomes one, in a database that is thrown away.
async fn plan_of(
    host: &Host,
    name: ProjectName,
    settings: ProjectSettings,
    reference: Option<GitRef>,
) -> Result<Plan> {
    let request = ProjectRequest {
        name,
        settings,
        env: EnvSet::default(),
    };
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
        Runtime::Compose { .. } => "serves with the services of its compose file".to_owned(),
        _ => "serves with the image's own command".to_owned(),
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
