//! `deployr cancel`

use deployr_core::model::DeploymentStatus;
use serde_json::json;

use crate::config::Settings;
use crate::exit::{Error, Exit, Result};
use crate::host::Host;
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  deployr cancel dep_01jd5m2xkqe0vs5m6t9h2w3y4z

It stops at once where nobody works on it, else as soon as whoever does has stopped; `deployr
logs -f` shows when. One that has ended stays as it is: exit code 1, or 0 where it was cancelled.")]
pub(crate) struct Args {
    /// A deployment's id, or a project's name or id for its newest one
    deployment: String,
    /// Why, for the log
    #[arg(long, default_value = "called off by the operator")]
    reason: String,
}

pub(crate) async fn run(args: &Args, settings: &Settings, ui: &Ui) -> Result<Exit> {
    let host = Host::client(settings).await?;
    let id = host.deployment(&args.deployment).await?.id;
    let deployment = host.engine.cancel(&host.actor, id, &args.reason).await?;
    let status = deployment.status;
    if status.is_final() && status != DeploymentStatus::Cancelled {
        let told = Error::verdict(format!("{id} has already ended: {status}"));
        return Err(match status {
            DeploymentStatus::Success => {
                told.hint("`deployr rollback` goes back to the release before")
            }
            _ => told,
        });
    }
    ui.emit(&json!({"deployment": deployment}));
    ui.say(format_args!("{id} is {}", deployment.status));
    Ok(Exit::Ok)
}
