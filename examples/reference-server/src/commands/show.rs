//! `deployr show`

use deployr_core::model::{Deployment, DeploymentId, Page, Project, ReleaseState};
use serde_json::{Value, json};

use super::settings;
use crate::config::Settings;
use crate::exit::{Exit, Result};
use crate::host::Host;
use crate::ui::Ui;
use crate::{docker, table, view};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  deployr show site
  deployr show dep_01jd5m2xkqe0vs5m6t9h2w3y4z")]
pub(crate) struct Args {
    /// A project's name or id, or a deployment's id
    what: String,
}

pub(crate) async fn run(args: &Args, settings: &Settings, ui: &Ui) -> Result<Exit> {
    let host = Host::client(settings).await?;
    if args.what.starts_with(&format!("{}_", DeploymentId::PREFIX)) {
        deployment(&host, &host.deployment(&args.what).await?, ui).await?;
    } else {
        project(&host, settings, &host.project(&args.what).await?, ui).await?;
    }
    Ok(Exit::Ok)
}

async fn project(host: &Host, settings: &Settings, project: &Project, ui: &Ui) -> Result<()> {
    let releases = host
        .engine
        .releases(&host.actor, project.id, Page::first(100))
        .await?;
    let live = releases.iter().find(|one| one.state == ReleaseState::Live);
    let usage = match (live, Host::data(settings)) {
        (Some(live), Ok(data)) => {
            let (target, slug) = (&live.target, &project.slug);
            docker::usage(settings, &data, target, slug, live.number).await
        }
        _ => None,
    };
    let variables = host.engine.env_names(&host.actor, project.id).await?;
    let trouble = host.engine.removal_trouble(project).await?;
    ui.emit(&json!({
        "project": project,
        "releases": releases.iter().map(view::release_json).collect::<Vec<Value>>(),
        "env": variables,
        "removal_trouble": trouble,
        "usage": usage.as_ref().map(|(_, usage)| usage),
    }));
    ui.say(ui.strong(project.name.as_str()));
    let names: Vec<&str> = variables.iter().map(|name| name.as_str()).collect();
    let names = match names[..] {
        [] => "none".into(),
        _ => names.join(", "),
    };
    let own = settings::shown(&project.settings);
    let mut shown = vec![("id", project.id.to_string())];
    if let Some(removal) = &project.removal {
        shown.push(("state", view::removal(removal, trouble.as_deref())));
    }
    shown.extend([
        ("repository", project.settings.source.to_string()),
        ("branch", project.settings.branch.to_string()),
        ("target", project.settings.target.to_string()),
    ]);
    shown.extend(
        own.iter()
            .map(|(name, value)| (name.as_str(), value.clone())),
    );
    shown.push(("variables", names));
    if let Some((words, _)) = usage {
        shown.push(("uses", words));
    }
    shown.push(("created", view::moment(project.created_at)));
    fields(ui, &shown);
    let rows: Vec<_> = releases
        .iter()
        .map(|release| {
            vec![
                release.number.to_string(),
                release.state.as_str().to_owned(),
                release.commit.short().to_owned(),
                view::age(release.created_at),
                release.deployment.to_string(),
            ]
        })
        .collect();
    if !rows.is_empty() {
        ui.say("");
        table::show(ui, &["RELEASE", "STATE", "COMMIT", "MADE", "BY"], &rows);
    }
    Ok(())
}

async fn deployment(host: &Host, deployment: &Deployment, ui: &Ui) -> Result<()> {
    let stages = host.engine.stages(&host.actor, deployment.id).await?;
    let project = host.engine.project(&host.actor, deployment.project).await?;
    ui.emit(&json!({"deployment": deployment, "project": project.slug, "stages": stages}));
    ui.say(ui.strong(&format!(
        "deployment {} of {}",
        deployment.number, project.name
    )));
    let mut shown = vec![
        ("id", deployment.id.to_string()),
        (
            "status",
            format!("{} (stage {})", deployment.status, deployment.stage),
        ),
        (
            "cause",
            format!(
                "{}, by {}",
                view::cause(&deployment.cause),
                deployment.actor
            ),
        ),
        (
            "commit",
            deployment
                .commit
                .as_ref()
                .map_or("not known yet".into(), ToString::to_string),
        ),
        ("asked", view::moment(deployment.created_at)),
    ];
    if let Some(failure) = &deployment.failure {
        shown.push(("reason", failure.message().to_owned()));
    }
    if let Some(took) = view::work_time(deployment) {
        shown.push(("took", view::time(took)));
        shown.push(("stages", view::stage_line(&stages)));
    }
    fields(ui, &shown);
    Ok(())
}

fn fields(ui: &Ui, fields: &[(&str, String)]) {
    for (name, value) in fields {
        ui.say(format_args!("  {} {value}", ui.dim(&format!("{name:<11}"))));
    }
}
