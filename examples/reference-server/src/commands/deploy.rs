//! `deployr deploy`

use deployr_core::engine::{DeployRequest, ProjectRequest};
use deployr_core::model::Project;
use deployr_core::value::{BranchName, EnvSet, GitRef, GitScheme, GitUrl, ProjectName};
use serde_json::json;

use super::branch;
use super::options::{Reference, Variables};
use super::settings::{self, Build};
use crate::config::Settings;
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
  deployr deploy site --tag v1.2.0
  deployr deploy site --follow develop

The first deployment makes the project. What is said of its settings and variables is kept:
`deployr show` shows them, --unset and `deployr env unset` take them back.

Where `deployr serve` runs on the same data directory, it does the work, and this follows;
else the work is done here. Ctrl-C asks the deployment to stop.")]
pub(crate) struct Args {
    /// https://…, ssh://…, git@host:path, or a folder of this machine; of a project that is
    /// there, its name or id
    repository: String,
    /// The project's name [default: the repository's]
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    reference: Reference,
    /// The branch that the project follows from now on; of a new one, else the repository's own
    #[arg(long, value_name = "BRANCH")]
    follow: Option<BranchName>,
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
    async fn parse(args: &'a Args, settings: &Settings) -> Result<Self> {
        let (reference, variables) = (args.reference.parse()?, args.variables.parse()?);
        let (repository, name) = match Host::known(settings, &args.repository).await? {
            Some((_, project)) => (project.settings.source, Ok(project.name)),
            None => {
                let url = repository::parse(&args.repository, &settings.url_policy())?;
                let name = repository::name(&url);
                (url, name)
            }
        };
        let name = match &args.name {
            Some(name) => ProjectName::parse(name)?,
            None => name?,
        };
        Ok(Self {
            name,
            repository,
            reference,
            branch: BranchName::main(),
            variables,
            args,
        })
    }

    /// Asks a repository that no project has yet whether it is there, before there is
    /// anything that would have to be taken back.
    async fn look_up(&mut self, settings: &Settings, ui: &Ui) -> Result<()> {
        let known = Host::known(settings, self.name.as_str()).await?;
        let known = known.map(|(_, project)| project);
        if let Some(known) = &known {
            self.is_for(known)?;
            let follows = self.args.follow.as_ref();
            let stays = follows.is_none_or(|branch| *branch == known.settings.branch);
            if known.settings.source == self.repository && stays {
                return Ok(());
            }
        }
        if self.repository.scheme() != GitScheme::Local {
            ui.say(format_args!("looking up {}", self.repository));
        }
        let (host, _folder) = Host::scratch(settings).await?;
        let follow = self.args.follow.clone().map(GitRef::Branch);
        let followed = known.map(|known| GitRef::Branch(known.settings.branch));
        let wanted = follow.as_ref().or(self.reference.as_ref());
        let wanted = wanted.or(followed.as_ref());
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
    let mut wanted = Wanted::parse(args, settings).await?;
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
    if let Some(branch) = &wanted.args.follow {
        settings.branch = branch.clone();
    }
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
