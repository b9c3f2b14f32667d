//! Where a command's work is done: here, or in the process that serves.

use std::time::{Duration, Instant};

use deployr_core::engine::Engine;

use super::{Mode, POLL, Work};
use crate::config::Settings;
use crate::data::{DataDir, Lock};
use crate::exit::{Error, Exit, Result};
use crate::host::Host;
use crate::signals::Signals;
use crate::ui::Ui;

/// How long a server may be away before those who wait for it give up.
const RESTART: Duration = Duration::from_secs(10);

/// Does what is wished where the engine is at work: in the process that serves this
/// data directory, else here.
pub(crate) async fn attend(
    settings: &Settings,
    command: &str,
    mode: Mode,
    ui: &Ui,
    wish: impl AsyncFnOnce(&Host, &mut Signals) -> Result<Exit>,
) -> Result<Exit> {
    let mut signals = Signals::listen()?;
    if let (Some(database), Mode::Once) = (&settings.database, mode) {
        let host = Host::client(settings).await?;
        ui.say(format_args!("the workers of {database} do the work"));
        return wish(&host, &mut signals).await;
    }
    let data = DataDir::open(&settings.data)?;
    match turn(&data, command, &mut signals, ui).await? {
        Lock::Taken(lock) => {
            let work = Work::start(lock, settings, &data, mode, ui).await?;
            let done = tokio::select! {
                done = wish(&work.host, &mut signals) => done,
                error = until_store_fails(&work.host.engine, settings.lease), if mode == Mode::Once => Err(error),
            };
            if let (Ok(Exit::Ok), Mode::Serve(_)) = (&done, mode) {
                ui.say("serving until Ctrl-C");
                return work.until_stopped(signals, ui).await;
            }
            let stopped = work.stop().await;
            let done = done?;
            stopped.map(|()| done)
        }
        Lock::Held(holder) if matches!(mode, Mode::Serve(_)) && holder.address.is_none() => {
            let told = format!("{holder} does the work of this data directory, and does not serve");
            Err(Error::fault(told).hint("leave --serve out, or run `deployr serve` in its place"))
        }
        Lock::Held(holder) => {
            ui.say(format_args!("{holder} does the work"));
            let mut host = Host::open(settings, &data, None).await?;
            host.holder = Some(holder);
            tokio::select! {
                done = wish(&host, &mut signals) => done,
                () = until_free(&data) => Err(Error::fault(
                    "the process that did the work has ended; what was asked for goes on with \
                     the next `deployr serve`, and `deployr list` shows it",
                )),
            }
        }
    }
}

/// Waits until the store has taken nothing for so long: then no job is held any more, and
/// a command has nothing to wait for.
async fn until_store_fails(engine: &Engine, patience: Duration) -> Error {
    loop {
        tokio::time::sleep(POLL).await;
        if let Some(trouble) = engine.store_trouble()
            && trouble.since.elapsed() > patience
        {
            let seconds = trouble.since.elapsed().as_secs();
            return Error::fault(format!(
                "the store has taken no write for {seconds} s: {}",
                trouble.error
            ))
            .hint(
                "mend it (is the disk full?); what was asked for is kept, and goes on with \
                 the next command or `deployr serve`",
            );
        }
    }
}

/// Waits until nobody has worked on the data directory for a moment: a server that is
/// started anew takes over before that.
async fn until_free(data: &DataDir) {
    let mut seen = Instant::now();
    while seen.elapsed() < RESTART {
        tokio::time::sleep(POLL).await;
        if data.holder().is_some() {
            seen = Instant::now();
        }
    }
}

/// Waits for commands that will soon be done.
async fn turn(data: &DataDir, command: &str, signals: &mut Signals, ui: &Ui) -> Result<Lock> {
    let mut told = false;
    loop {
        let holder = match data.lock(command)? {
            Lock::Held(holder) if !holder.stays() => holder,
            lock => return Ok(lock),
        };
        if !told {
            ui.say(format_args!("waiting for {holder} to end"));
            told = true;
        }
        tokio::select! {
            () = tokio::time::sleep(POLL) => {}
            () = signals.next() => return Err(Error::fault("stopped while waiting; nothing was done")),
        }
    }
}
