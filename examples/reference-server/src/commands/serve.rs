//! `deployr serve`

use serde_json::json;

use crate::announce::Announcer;
use crate::config::Settings;
use crate::data::DataDir;
use crate::exit::{Error, Exit, Result};
use crate::signals::Signals;
use crate::ui::Ui;
use crate::work::{Mode, Work};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  deployr serve
  deployr serve --listen 0.0.0.0:80 --domain example.com

Each project is served at http://<name>.<domain>. Requests for other names get /healthz, a
JSON page for monitors. SIGTERM and Ctrl-C end the work in hand first; a second one does not wait.")]
pub(crate) struct Args {}

pub(crate) async fn run(settings: &Settings, ui: &Ui) -> Result<Exit> {
    let mode = Mode::Serve(settings.listen);
    if DataDir::existing(&settings.data).is_err() {
        // Nothing is made where it could not begin.
        drop(mode.bind().await?);
    }
    let data = DataDir::open(&settings.data)?;
    let lock = data.lock("serve")?.or_refuse()?;
    let signals = Signals::listen()?;
    let work = Work::start(lock, settings, &data, mode, ui).await?;
    let announcer = Announcer::start(&work.host, ui);
    let address = work
        .address()
        .ok_or_else(|| Error::fault("there is no ingress"))?;
    ui.emit(&json!({"event": "serving", "address": address, "domain": settings.domain, "pid": std::process::id()}));
    match &settings.caddy {
        Some(caddy) => ui.say(format_args!(
            "serving at <project>.{} through Caddy at {}",
            settings.domain, caddy.admin
        )),
        None => ui.say(format_args!(
            "serving at http://<project>.{}:{}",
            settings.domain,
            address.port()
        )),
    }
    ui.say(format_args!("  data    {}", data.path().display()));
    ui.say(format_args!("  health  http://{address}/healthz"));
    for slug in work.served().await.unwrap_or_default() {
        let url = work.url(&slug).unwrap_or_default();
        ui.emit(&json!({"event": "served", "project": slug, "url": url}));
        ui.say(format_args!("  {url}"));
    }
    let exit = work.until_stopped(signals, ui).await;
    announcer.finish().await;
    exit
}
