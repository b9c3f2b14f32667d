//! `deployr queue`

use clap::Subcommand;
use deployr_core::store::{KindStats, WorkerSeen};
use deployr_core::value::JobKind;
use serde_json::json;

use crate::config::Settings;
use crate::exit::{Exit, Result};
use crate::host::Host;
use crate::ui::Ui;
use crate::{table, view};

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
    let (kinds, paused) = (engine.queue_by_kind().await?, engine.paused().await?);
    let workers = engine.workers().await?;
    ui.emit(&json!({"queue": kinds, "paused": paused, "workers": workers}));
    show_kinds(&kinds, ui);
    show_workers(&workers, ui);
    if !paused.is_empty() {
        let kinds: Vec<&str> = paused.iter().map(JobKind::as_str).collect();
        let kinds = kinds.join(", ");
        ui.say(format_args!(
            "paused: {kinds}; `deployr queue resume KIND` begins them again"
        ));
    }
    Ok(Exit::Ok)
}

fn show_kinds(kinds: &[KindStats], ui: &Ui) {
    if kinds.is_empty() {
        return ui.say("nothing runs and nothing waits");
    }
    let rows: Vec<_> = kinds
        .iter()
        .map(|kind| {
            vec![
                kind.kind.to_string(),
                kind.running.to_string(),
                kind.queued.to_string(),
                kind.oldest.map_or("-".into(), view::age),
                kind.pending.to_string(),
                kind.rescued.to_string(),
            ]
        })
        .collect();
    let heads = ["KIND", "RUNNING", "READY", "OLDEST", "WAITING", "RESCUED"];
    table::show(ui, &heads, &rows);
}

fn show_workers(workers: &[WorkerSeen], ui: &Ui) {
    if workers.is_empty() {
        return ui.say("no worker: `deployr serve` or `deployr worker` is one");
    }
    let rows: Vec<_> = workers
        .iter()
        .map(|worker| {
            let report = &worker.report;
            vec![
                report.node.clone(),
                format!("{} of {}", report.held, report.concurrency),
                match worker.lives() {
                    true => "alive".into(),
                    false => format!("silent since {}", view::moment(worker.seen_at)),
                },
                report.version.clone(),
                report.id.to_string(),
            ]
        })
        .collect();
    table::show(ui, &["WORKER", "BUSY", "STATE", "VERSION", "ID"], &rows);
}
