//! `deployr deploy`

use deployr_core::engine::{DeployRequest, ProjectRequest};
use deployr_core::model::Project;
use deployr_core::value::{BranchName, EnvSet, GitRef, GitScheme, GitUrl, ProjectName};
use serde_json::json;

use super::branch;
use super::options::{Reference, Variables};
use super::settings::{self, Build};
use crate::config::Settings;
use crate::data::DataDir;
use crate::exit::{Error, Exit, Result};
use crate::follow;
use crate::host::Host;
use crate::repository;
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

The first deployment makes the project. What is said of its settings and variables is kept:
`deployr show` shows them, --unset and `deployr env unset` take them back.

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
    name: ProjectName,
    repository: GitUrl,
    reference: Option<GitRef>,
    /// What a new project follows.
    branch: BranchName,
    variables: EnvSet,
    args: &'a Args,
}

impl<'a> Wanted<'a> {
    fn parse(args: &'a Args, settings: &Settings) -> Result<Self> {
        let repository = repository::parse(&args.repository, &settings.url_policy())?;
        let name = match &args.name {
            Some(name) => ProjectName::parse(name)?,
            None => repository::name(&repository)?,
        };
        Ok(Self {
            name,
            repository,
            reference: args.reference.parse()?,
            branch: BranchName::main(),
            variables: args.variables.parse()?,
            args,
        })
    }

    /// Asks a repository that no project has yet whether it is there, before there is
    /// anything that would have to be taken back.
    async fn look_up(&mut self, settings: &Settings, ui: &Ui) -> Result<()> {
        let known = match DataDir::existing(&settings.data) {
            Ok(data) => {
                let host = Host::open(settings, &data, None).await?;
                host.find(self.name.as_str()).await?
            }
            Err(_) => None,
        };
        if let Some(known) = &known {
            self.is_for(known)?;
            if known.settings.source == self.repository {
                return Ok(());
            }
        }
        if self.repository.scheme() != GitScheme::Local {
            ui.say(format_args!("looking up {}", self.repository));
        }
        let (host, _folder) = Host::scratch(settings).await?;
        let wanted = match known {
            Some(known) => Some(GitRef::Branch(known.settings.branch)),
            None => None,
        };
        let wanted = self.reference.as_ref().or(wanted.as_ref());
        self.branch = branch::of_new(&host.engine, &self.repository, wanted).await?;
        Ok(())
    }

    /// Whether it is meant for this project.
    fn is_for(&self, known: &Project) -> Result<()> {
        if known.settings.source == self.repository || self.args.name.is_some() {
            return Ok(());
        }
        let (name, source) = (&known.name, &known.settings.source);
        Err(
            Error::usage(format!("project {name} has another repository: {source}")).hint(format!(
                "give this one another --name, or move the project here with --name {name}"
            )),
        )
    }
}

pub(crate) async fn run(args: &Args, settings: &Settings, ui: &Ui) -> Result<Exit> {
    let mut wanted = Wanted::parse(args, settings)?;
    wanted.look_up(settings, ui).await?;
    let mode = if args.serve {
        Mode::Serve(settings.listen)
    } else {
        Mode::Once
    };
    attend(settings, "deploy", mode, ui, async |host, signals| {
        deploy(&wanted, host, signals, ui).await
    })
    .await
}

async fn deploy(wanted: &Wanted<'_>, host: &Host, signals: &mut Signals, ui: &Ui) -> Result<Exit> {
    let project = project(wanted, host, ui).await?;
    let request = DeployRequest {
        reference: wanted.reference.clone(),
        ..DeployRequest::default()
    };
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
async fn project(wanted: &Wanted<'_>, host: &Host, ui: &Ui) -> Result<Project> {
    let (engine, actor) = (&host.engine, &host.actor);
    let Some(known) = host.find(wanted.name.as_str()).await? else {
        let mut request = ProjectRequest::new(wanted.name.as_str(), wanted.repository.clone())?
            .env(wanted.variables.clone());
        request.settings.branch = wanted.branch.clone();
        wanted.args.build.apply(&mut request.settings);
        return Ok(engine.create_project(actor, request).await?);
    };
    wanted.is_for(&known)?;
    let mut settings = known.settings.clone();
    settings.source = wanted.repository.clone();
    wanted.args.build.apply(&mut settings);
    let mut project = known.clone();
    if settings != known.settings {
        project = engine.update_project(actor, known.id, settings).await?;
    }
    for change in settings::changes(&known.settings, &project.settings) {
        let text = format!("{}: {change}", project.name);
        ui.emit(&json!({"event": "note", "text": text}));
        ui.say(text);
    }
    for (name, value) in &wanted.variables {
        engine.set_env(actor, known.id, name, Some(value)).await?;
    }
    Ok(project)
}
