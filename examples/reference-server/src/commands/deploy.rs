//! `deployr deploy`

use deployr_core::engine::{DeployRequest, EngineError, ProjectRequest};
use deployr_core::model::Project;
use deployr_core::store::StoreError;
use deployr_core::value::{EnvSet, ProjectName};
use serde_json::json;

use super::options::{Build, Reference, Variables};
use crate::config::Settings;
use crate::exit::{Error, Exit, Result};
use crate::follow;
use crate::host::Host;
use crate::repository::Repository;
use crate::signals::Signals;
use crate::ui::Ui;
use crate::work::{Mode, attend};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  deployr deploy https://github.com/acme/site
  deployr deploy ./site --serve
  deployr deploy ./api --name shop --start 'node server.js' --health-path /up --env-file .env
  deployr deploy https://github.com/acme/site --tag v1.2.0

Where `deployr serve` runs on the same data directory, it does the work, and this follows;
else the work is done here. Ctrl-C asks the deployment to stop.")]
pub(crate) struct Args {
    /// https://…, ssh://…, git@host:path, or a folder of this machine
    repository: String,
    /// The project's name [default: the repository's]
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    reference: Reference,
    #[command(flatten)]
    variables: Variables,
    /// Keep serving after the deployment, until Ctrl-C
    #[arg(long)]
    serve: bool,
    #[command(flatten)]
    build: Build,
}

/// What the arguments ask for, once it is known to be valid.
struct Wanted<'a> {
    name: String,
    repository: Repository,
    request: DeployRequest,
    variables: EnvSet,
    args: &'a Args,
}

impl<'a> Wanted<'a> {
    fn parse(args: &'a Args, settings: &Settings) -> Result<Self> {
        let repository = Repository::parse(&args.repository, &settings.url_policy())?;
        let name = match &args.name {
            Some(name) => ProjectName::parse(name)?.to_string(),
            None => repository.name()?,
        };
        let (request, variables) = (args.reference.request()?, args.variables.parse()?);
        Ok(Self {
            name,
            repository,
            request,
            variables,
            args,
        })
    }
}

pub(crate) async fn run(args: &Args, settings: &Settings, ui: &Ui) -> Result<Exit> {
    let wanted = Wanted::parse(args, settings)?;
    let mode = if args.serve {
        Mode::Serve(settings.listen)
    } else {
        Mode::Once
    };
    attend(settings, "deploy", mode, ui, async |host, signals| {
        deploy(wanted, host, signals, ui).await
    })
    .await
}

async fn deploy(wanted: Wanted<'_>, host: &Host, signals: &mut Signals, ui: &Ui) -> Result<Exit> {
    let request = wanted.request.clone();
    let project = project(wanted, host).await?;
    let deployment = host.engine.deploy(&host.actor, project.id, request).await?;
    ui.emit(&json!({"event": "created", "deployment": deployment}));
    ui.say(format_args!(
        "deploying {} ({})",
        project.name, deployment.id
    ));
    let ended = follow::to_the_end(host, &deployment, signals, ui).await?;
    follow::tell(host, &project, &ended, ui).await
}

/// The project as asked for: made where there is none of that name, else brought up to date.
async fn project(wanted: Wanted<'_>, host: &Host) -> Result<Project> {
    let (engine, actor, args) = (&host.engine, &host.actor, wanted.args);
    let Wanted {
        name,
        repository,
        variables,
        ..
    } = wanted;
    let known = match engine.project_by_name(actor, &name).await {
        Ok(project) => project,
        Err(EngineError::Store(StoreError::NotFound { .. })) => {
            let branch = args.reference.branch.as_ref().unwrap_or(&repository.branch);
            let mut request = ProjectRequest::new(&name, repository.url)?
                .branch(branch)?
                .env(variables);
            args.build.apply(&mut request.settings)?;
            return Ok(engine.create_project(actor, request).await?);
        }
        Err(error) => return Err(error.into()),
    };
    if known.settings.source != repository.url && args.name.is_none() {
        return Err(Error::usage(format!(
            "project {} has another repository: {}",
            known.name, known.settings.source
        ))
        .hint(format!(
            "give this one another --name, or move the project here with --name {}",
            known.name
        )));
    }
    let mut settings = known.settings.clone();
    settings.source = repository.url;
    args.build.apply(&mut settings)?;
    for (name, value) in &variables {
        engine.set_env(actor, known.id, name, Some(value)).await?;
    }
    if settings == known.settings {
        return Ok(known);
    }
    Ok(engine.update_project(actor, known.id, settings).await?)
}
