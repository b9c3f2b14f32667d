//! `deployr worker`

use serde_json::json;

use crate::announce::Announcer;
use crate::config::Settings;
use crate::data::DataDir;
use crate::exit::{Exit, Result};
use crate::signals::Signals;
use crate::ui::Ui;
use crate::work::{Mode, Work};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
For machines where another web server, such as nginx, serves the files: the live release of a
project is always at <data>/sites/<project>/current,
a link that is switched in one step. The data directory is
for its owner only; `chmod 711 <data>` lets the web server in (keys, database and mirrors have
modes of their own). Apps with a process of their own get their port from deployr: use `serve`.")]
pub(crate) struct Args {}

pub(crate) async fn run(settings: &Settings, ui: &Ui) -> Result<Exit> {
    let data = DataDir::open(&settings.data)?;
    let lock = data.lock("worker")?.or_refuse()?;
    let signals = Signals::listen()?;
    let work = Work::start(lock, settings, &data, Mode::Worker, ui).await?;
    let announcer = Announcer::start(&work.host, ui);
    ui.emit(&json!({"event": "working", "pid": std::process::id()}));
    ui.say(format_args!(
        "working; live releases are at {}",
        data.sites().join("<project>/current").display()
    ));
    let exit = work.until_stopped(signals, ui).await;
    announcer.finish().await;
    exit
}
