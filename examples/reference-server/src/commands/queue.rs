//! `deployr queue`

use clap::Subcommand;
use deployr_core::value::JobKind;
use serde_json::json;

use crate::config::Settings;
use crate::exit::{Exit, Result};
use crate::host::Host;
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  deployr queue
  deployr queue pause            No deployment begins any more; those that run go on
  deployr queue resume
  deployr queue pause notify

A pause holds for all machines of the database, and over restarts.")]
pub(crate) struct Args {
    #[command(subcommand)]
    wish: Option<Wish>,
}

#[derive(Debug, Subcommand)]
enum Wish {
    /// Begin no more jobs of a kind
    Pause {
        /// Which [default: deploy]
        kind: Option<JobKind>,
    },
    /// Begin them again
    Resume {
        /// Which [default: deploy]
        kind: Option<JobKind>,
    },
}

pub(crate) async fn run(args: &Args, settings: &Settings, ui: &Ui) -> Result<Exit> {
    let engine = Host::client(settings).await?.engine;
    let wish = match &args.wish {
        Some(Wish::Pause { kind }) => Some((kind, true)),
        Some(Wish::Resume { kind }) => Some((kind, false)),
        None => None,
    };
    if let Some((kind, pause)) = wish {
        let deploy = JobKind::parse("deploy")?;
        engine
            .pause(kind.as_ref().unwrap_or(&deploy), pause)
            .await?;
    }
    let (stats, paused) = (engine.queue_stats().await?, engine.paused().await?);
    ui.emit(&json!({"queue": stats, "paused": paused}));
    ui.say(format_args!(
        "{} running, {} ready to begin, {} waiting for their time or turn",
        stats.running, stats.queued, stats.pending
    ));
    if !paused.is_empty() {
        let kinds: Vec<&str> = paused.iter().map(JobKind::as_str).collect();
        let kinds = kinds.join(", ");
        ui.say(format_args!(
            "paused: {kinds}; `deployr queue resume KIND` begins them again"
        ));
    }
    Ok(Exit::Ok)
}
