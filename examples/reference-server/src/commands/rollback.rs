//! `deployr rollback`

use deployr_core::engine::EngineError;
use deployr_core::model::{Page, Project, ReleaseId};

use crate::config::Settings;
use crate::exit::{Error, Exit, Result};
use crate::follow;
use crate::host::Host;
use crate::signals::Signals;
use crate::ui::Ui;
use crate::work::{Mode, attend};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  deployr rollback site
  deployr rollback site --to 3

`deployr show site` shows the releases. Forward goes the same way.")]
pub(crate) struct Args {
    /// The project's name or id
    project: String,
    /// The number of the release [default: the one that was live before]
    #[arg(long, value_name = "RELEASE")]
    to: Option<i64>,
}

pub(crate) async fn run(args: &Args, settings: &Settings, ui: &Ui) -> Result<Exit> {
    let client = Host::client(settings).await?;
    let project = client.project(&args.project).await?;
    let to = match args.to {
        Some(number) => Some(release(&client, &project, number).await?),
        None => None,
    };
    drop(client);
    attend(
        settings,
        "rollback",
        Mode::Once,
        ui,
        async |host, signals| roll_back(&project, to, host, signals, ui).await,
    )
    .await
}

async fn roll_back(
    project: &Project,
    release: Option<ReleaseId>,
    host: &Host,
    signals: &mut Signals,
    ui: &Ui,
) -> Result<Exit> {
    let asked = host.engine.rollback(&host.actor, project.id, release);
    let deployment = asked.await.map_err(|error| {
        let none = matches!(error, EngineError::NoEarlierRelease { .. });
        let error = Error::from(error);
        match none {
            true => error.hint(format!(
                "--to RELEASE goes to a later one; `deployr show {}` shows which there are",
                project.slug
            )),
            false => error,
        }
    })?;
    let ended = follow::to_the_end(host, &deployment, signals, ui).await?;
    follow::tell(host, project, &ended, ui).await
}

/// The release of that number.
pub(crate) async fn release(host: &Host, project: &Project, number: i64) -> Result<ReleaseId> {
    let releases = host
        .engine
        .releases(&host.actor, project.id, Page::first(1_000))
        .await?;
    let found = releases.iter().find(|release| release.number == number);
    found.map(|release| release.id).ok_or_else(|| {
        Error::fault(format!("{} has no release {number}", project.name)).hint(format!(
            "`deployr show {}` shows the releases",
            project.slug
        ))
    })
}
