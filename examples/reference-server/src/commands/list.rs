//! `deployr list`

use deployr_core::model::{Deployment, Page, Project};
use serde_json::json;

use crate::config::Settings;
use crate::exit::{Exit, Result};
use crate::host::Host;
use crate::ui::Ui;
use crate::{table, view};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  deployr list
  deployr list site --limit 50")]
pub(crate) struct Args {
    /// List the deployments of this project
    project: Option<String>,
    /// How many, the newest first
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
}

pub(crate) async fn run(args: &Args, settings: &Settings, ui: &Ui) -> Result<Exit> {
    let host = Host::client(settings).await?;
    match &args.project {
        Some(name) => deployments(&host, &host.project(name).await?, args.limit, ui).await?,
        None => projects(&host, args.limit, ui).await?,
    }
    Ok(Exit::Ok)
}

async fn projects(host: &Host, limit: u32, ui: &Ui) -> Result<()> {
    let projects = host
        .engine
        .projects(&host.actor, Page::first(limit))
        .await?;
    let mut rows = Vec::new();
    for project in &projects {
        let newest = host
            .engine
            .deployments(&host.actor, Some(project.id), Page::first(1))
            .await?;
        let newest = newest.first();
        ui.emit(&json!({"project": project, "newest_deployment": newest}));
        rows.push(vec![
            project.name.to_string(),
            match (&project.removal, newest) {
                (Some(_), _) => "being removed".into(),
                (None, newest) => {
                    newest.map_or("-".into(), |deployment| deployment.status.to_string())
                }
            },
            newest.map_or("-".into(), |deployment| view::age(deployment.created_at)),
            project.settings.branch.to_string(),
            project.settings.source.to_string(),
        ]);
    }
    if rows.is_empty() {
        ui.say("no projects yet: `deployr deploy <repository>` makes one");
    } else {
        table::show(
            ui,
            &["PROJECT", "NEWEST", "ASKED", "BRANCH", "REPOSITORY"],
            &rows,
        );
    }
    Ok(())
}

async fn deployments(host: &Host, project: &Project, limit: u32, ui: &Ui) -> Result<()> {
    let deployments = host
        .engine
        .deployments(&host.actor, Some(project.id), Page::first(limit))
        .await?;
    let row = |deployment: &Deployment| {
        ui.emit(&json!({"deployment": deployment}));
        vec![
            deployment.number.to_string(),
            deployment.status.to_string(),
            view::cause(&deployment.cause),
            view::commit(deployment),
            view::work_time(deployment).map_or("-".into(), view::time),
            view::age(deployment.created_at),
            deployment.actor.clone(),
            deployment.id.to_string(),
        ]
    };
    let rows: Vec<_> = deployments.iter().map(row).collect();
    if rows.is_empty() {
        ui.say(format_args!("{} has no deployments yet", project.name));
    } else {
        table::show(
            ui,
            &[
                "#", "STATUS", "CAUSE", "COMMIT", "TOOK", "ASKED", "BY", "ID",
            ],
            &rows,
        );
    }
    Ok(())
}
