//! `deployr why`

use deployr_core::model::JobId;
use serde_json::json;

use crate::config::Settings;
use crate::exit::{Exit, Result};
use crate::host::Host;
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  deployr why site                                 The newest deployment of a project
  deployr why dep_01jd5m2xkqe0vs5m6t9h2w3y4z
  deployr why job_01jd5m2xkqe0vs5m6t9h2w3y4z       A job of another kind

It tells all that keeps it: its time, what it shares with others, who comes before it, a pause,
and whether a worker lives that could begin it.")]
pub(crate) struct Args {
    /// A deployment's id, a job's id, or a project's name or id for its newest deployment
    what: String,
}

pub(crate) async fn run(args: &Args, settings: &Settings, ui: &Ui) -> Result<Exit> {
    let host = Host::client(settings).await?;
    let (engine, tenant) = (&host.engine, &host.actor.tenant);
    let (what, why) = match args.what.parse::<JobId>() {
        Ok(job) => (job.to_string(), engine.why(tenant, job).await?),
        Err(_) => {
            let id = host.deployment(&args.what).await?.id;
            (id.to_string(), engine.why_deployment(tenant, id).await?)
        }
    };
    ui.emit(&json!({"why": why}));
    ui.say(format_args!("{what} is {}", why.job.state));
    for reason in &why.reasons {
        ui.say(format_args!("  {reason}"));
    }
    Ok(Exit::Ok)
}
