//! `deployr logs`

use deployr_core::engine::Event;
use deployr_core::log::{LogLine, LogStream};
use serde_json::json;

use crate::config::Settings;
use crate::exit::{Exit, Result};
use crate::follow;
use crate::host::Host;
use crate::progress;
use crate::ui::Ui;

const LINES: u32 = 1_000;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  deployr logs site -f
  deployr logs dep_01jd5m2xkqe0vs5m6t9h2w3y4z --after 120

With -f the exit code is that of the deployment.")]
pub(crate) struct Args {
    /// A deployment's id, or a project's name or id for its newest one
    deployment: String,
    /// Follow until the deployment ends
    #[arg(short, long)]
    follow: bool,
    /// Begin after this line
    #[arg(long, value_name = "LINE", default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
    after: i64,
}

pub(crate) async fn run(args: &Args, settings: &Settings, ui: &Ui) -> Result<Exit> {
    let host = Host::client(settings).await?;
    let deployment = host.deployment(&args.deployment).await?;
    if args.follow {
        let mut events = host
            .engine
            .follow(&host.actor, deployment.id, args.after)
            .await?;
        while let Some(event) = events.try_next().await? {
            match event {
                Event::Line(line) => print(ui, &line),
                Event::Finished(deployment) => {
                    ui.emit(&json!({"event": "finished", "deployment": deployment}));
                    ui.say(Event::Finished(deployment.clone()));
                    return Ok(follow::exit_of(&deployment));
                }
            }
        }
        return Ok(Exit::Ok);
    }
    let mut after = args.after;
    loop {
        let lines = host
            .engine
            .read_log(&host.actor, deployment.id, after, LINES)
            .await?;
        let Some(last) = lines.last() else {
            return Ok(Exit::Ok);
        };
        after = last.seq;
        lines.iter().for_each(|line| print(ui, line));
    }
}

fn print(ui: &Ui, line: &LogLine) {
    ui.emit(&json!({"event": "line", "line": line}));
    let text = progress::text(ui, line);
    match line.stream {
        LogStream::Stage => ui.say(ui.strong(&format!("== {text}"))),
        _ => ui.say(text),
    }
}
