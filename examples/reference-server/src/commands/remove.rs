//! `deployr remove`

use std::io::{BufRead, IsTerminal, Write};
use std::time::Duration;

use deployr_core::engine::{EngineError, RemoveRequest};
use deployr_core::model::Project;
use deployr_core::store::StoreError;
use serde_json::json;

use crate::config::Settings;
use crate::exit::{Error, Exit, Result};
use crate::host::Host;
use crate::signals::Signals;
use crate::ui::Ui;
use crate::work::{Mode, attend};

/// How often to look how far it is.
const LOOK: Duration = Duration::from_millis(100);

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  deployr remove site
  deployr remove site --purge --yes     Also what the app has written: shared folders, volumes
  deployr remove site --forget          Its server will never answer again

Visitors are sent away first; then its releases and processes are taken off each target that has
some, and all that is known of the project is deleted: its name is free. Without --purge, what the
app itself has written stays on the target, and your next project of that name finds it there.

Where a target does not answer, the rest is done and the project stays until you call this again,
or give that target up with --forget: what runs there runs on then.")]
pub(crate) struct Args {
    /// The project's name or id
    project: String,
    /// Also delete what the app has written: shared folders, volumes
    #[arg(long, conflicts_with = "forget")]
    purge: bool,
    /// Delete what is known of the project, and leave its targets as they are
    #[arg(long)]
    forget: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

pub(crate) async fn run(args: &Args, settings: &Settings, ui: &Ui) -> Result<Exit> {
    let client = Host::client(settings).await?;
    let project = client.project(&args.project).await?;
    drop(client);
    if !args.yes {
        confirm(&project, args, ui)?;
    }
    let request = RemoveRequest {
        purge: args.purge,
        forget: args.forget,
    };
    attend(settings, "remove", Mode::Once, ui, async |host, signals| {
        remove(&project, request, host, signals, ui).await
    })
    .await
}

/// Asks, where somebody is there to answer.
fn confirm(project: &Project, args: &Args, ui: &Ui) -> Result<()> {
    let name = &project.name;
    if !ui.on_terminal() || !std::io::stdin().is_terminal() {
        let told = format!("nobody can be asked whether {name} is to be removed");
        return Err(Error::usage(told).hint("--yes says so"));
    }
    let with = match (args.forget, args.purge) {
        (true, _) => " from here; its targets are left as they are",
        (false, true) => " with all that it has written",
        (false, false) => "",
    };
    let mut out = std::io::stdout().lock();
    let asked = write!(
        out,
        "{name} will be removed{with}. Type its name to go on: "
    );
    let asked = asked.and_then(|()| out.flush());
    let mut answer = String::new();
    let read = asked.and_then(|()| std::io::stdin().lock().read_line(&mut answer));
    read.map_err(|error| Error::io("read the answer", error))?;
    match answer.trim() == name.as_str() {
        true => Ok(()),
        false => Err(Error::usage("that is not its name; nothing was removed")),
    }
}

async fn remove(
    project: &Project,
    request: RemoveRequest,
    host: &Host,
    signals: &mut Signals,
    ui: &Ui,
) -> Result<Exit> {
    let (engine, actor) = (&host.engine, &host.actor);
    let asked = engine.remove_project(actor, project.id, request).await;
    let begun = asked.map_err(|error| {
        let elsewhere = matches!(error, EngineError::UnknownTarget { .. });
        let error = Error::from(error);
        match elsewhere {
            true => error.hint("set the target up again, or leave it as it is with --forget"),
            false => error,
        }
    })?;
    ui.emit(&json!({"event": "removing", "project": begun}));
    ui.say(format_args!("removing {}", project.name));
    loop {
        let found = match engine.project(actor, project.id).await {
            Err(EngineError::Store(StoreError::NotFound { .. })) => break,
            found => found?,
        };
        if let Some(why) = engine.removal_trouble(&found).await? {
            return Err(Error::fault(why)
                .hint("mend the target and call this again, or leave it as it is with --forget"));
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = signals.next() => {
                let told = format!("{} is still being removed", project.name);
                return Err(Error::fault(told).hint(
                    "the next `deployr serve` or `deployr remove` goes on with it",
                ));
            }
        }
    }
    ui.emit(&json!({"event": "removed", "project": project.slug, "id": project.id}));
    ui.say(format_args!("{} is removed", project.name));
    Ok(Exit::Ok)
}
