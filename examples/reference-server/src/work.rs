//! The engine at work in this process: the lock, a worker, and perhaps an ingress.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use deployr_core::engine::Engine;
use deployr_core::error::StepError;
use deployr_core::ingress::Ingress;
use deployr_core::store::QueueStats;
use deployr_core::value::Slug;
use deployr_core::worker::Worker;
use deployr_exec::ingress::{BuiltinIngress, CaddyIngress};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::config::Settings;
use crate::data::{DataDir, EngineLock, Holder, Lock};
use crate::docker;
use crate::exit::{Error, Exit, Result};
use crate::host::{self, Host, local_builder};
use crate::metrics;
use crate::signals::Signals;
use crate::ui::Ui;

/// How long work in hand may go on after the wish to stop.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long requests under way, and apps, are given to end.
const GRACE: Duration = Duration::from_secs(10);

/// How long a server may be away before those who wait for it give up.
const RESTART: Duration = Duration::from_secs(10);

/// How often to look whether Caddy still has its routes.
const LOOK_AT_CADDY: Duration = Duration::from_secs(5);

/// How often to look for what other processes have done.
const POLL: Duration = Duration::from_millis(250);

/// What the work is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// One deployment, after which the process ends.
    Once,
    /// Whatever is asked for; the live releases are kept up.
    Worker,
    /// The same, and requests at this address.
    Serve(SocketAddr),
    /// The same, at any port where that one is taken.
    Show(SocketAddr),
}

impl Mode {
    /// Takes the port, where one is needed.
    pub(crate) async fn bind(self) -> Result<Option<BuiltinIngress>> {
        let (address, at_any_port) = match self {
            Self::Once | Self::Worker => return Ok(None),
            Self::Serve(address) => (address, false),
            Self::Show(address) => (address, true),
        };
        let bound = match BuiltinIngress::bind(address).await {
            Err(_) if at_any_port => BuiltinIngress::bind(SocketAddr::new(address.ip(), 0)).await,
            bound => bound,
        };
        bound
            .map(Some)
            .map_err(|fault| Error::from(fault).hint("--listen ADDRESS names it"))
    }
}

/// Works until [`stop`](Self::stop).
pub(crate) struct Work {
    pub(crate) host: Host,
    /// Answers monitors; and visitors, where that is not left to Caddy.
    builtin: Option<Arc<BuiltinIngress>>,
    /// What visitors come through.
    ingress: Option<Arc<dyn Ingress>>,
    worker: Worker,
    _lock: EngineLock,
}

impl Work {
    /// Brings up what was live, and starts to work.
    pub(crate) async fn start(
        mut lock: EngineLock,
        settings: &Settings,
        data: &DataDir,
        mode: Mode,
        ui: &Ui,
    ) -> Result<Self> {
        let health = Health::new();
        let builtin = mode.bind().await?.map(|ingress| {
            let health = health.clone();
            let ingress = ingress
                .domain(&settings.domain)
                .trusted_proxies(settings.trusted_proxies.clone())
                .starting();
            Arc::new(ingress.with_health(move || health.answer()))
        });
        local_builder(settings, data).remove_stale().await?;
        if let Err(error) = docker::remove_stale(settings, data).await {
            ui.warn(format_args!(
                "what an earlier deployr has left in Docker stays: {error}"
            ));
        }
        let visitors = builtin.clone().map(|builtin| builtin as Arc<dyn Ingress>);
        let host = Host::open(settings, data, visitors.clone()).await?;
        let caddy = host::caddy(settings);
        if let Some(caddy) = &caddy
            && let Err(fault) = caddy.check().await
        {
            ui.warn(format_args!("nothing is served: {fault}"));
        }
        let ingress = match &caddy {
            Some(caddy) => Some(Arc::new(caddy.clone()) as Arc<dyn Ingress>),
            None => visitors,
        };
        if let Some(ingress) = &builtin {
            lock.note(&Holder {
                pid: std::process::id(),
                command: "serve".into(), // `deploy --serve` is as good as one
                address: Some(ingress.local_addr()),
                domain: Some(settings.domain.to_string()),
            })?;
            health.keep(host.engine.clone()).await;
        }
        if let Some(address) = settings.metrics_listen.filter(|_| mode != Mode::Once) {
            metrics::serve(address, host.engine.clone(), ui).await?;
        }
        if mode != Mode::Once {
            for (slug, error) in host.engine.restore().await?.failed {
                let what = match &error {
                    StepError::Fault(fault) if fault.retryable => "it is tried again",
                    _ => "deploy it again",
                };
                ui.warn(format_args!("{slug} is not served: {error}; {what}"));
            }
        }
        if let Some(ingress) = &builtin {
            ingress.ready();
        }
        if let Some(caddy) = caddy.filter(|_| mode != Mode::Once) {
            tokio::spawn(keep_routes(caddy, host.engine.clone()));
        }
        let worker = host
            .engine
            .worker()
            .alone(settings.database.is_none()) // by the lock
            .concurrency(settings.concurrency)
            .lease(settings.lease)
            .node(settings.node.clone())
            .retention(Some(settings.retention.clone()))
            .poll(POLL)
            .spawn();
        Ok(Self {
            host,
            builtin,
            ingress,
            worker,
            _lock: lock,
        })
    }

    /// The projects that are served at present, in the order of their names.
    pub(crate) async fn served(&self) -> Result<Vec<Slug>> {
        let Some(ingress) = &self.ingress else {
            return Ok(Vec::new());
        };
        let routes = ingress.routes().await?;
        Ok(routes.into_iter().map(|route| route.slug).collect())
    }

    /// Where one of them is.
    pub(crate) fn url(&self, slug: &Slug) -> Option<String> {
        self.ingress.as_ref().and_then(|ingress| ingress.url(slug))
    }

    /// Where it serves.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.builtin.as_ref().map(|ingress| ingress.local_addr())
    }

    /// Works until asked to stop.
    pub(crate) async fn until_stopped(self, mut signals: Signals, ui: &Ui) -> Result<Exit> {
        signals.next().await;
        ui.say("stopping when the work in hand is done; once more to stop at once");
        let (hurry, hurried) = watch::channel(false);
        let mut stop = pin!(self.stop_within(hurried));
        tokio::select! {
            stopped = &mut stop => return stopped.map(|()| Exit::Ok),
            () = signals.next() => {}
        }
        // What is in hand goes back to the queue, and no app is left behind; but a third
        // wish, or a store that does not take it, ends that too.
        hurry.send_replace(true);
        tokio::select! {
            _ = stop => {}
            () = signals.next() => {}
            () = tokio::time::sleep(GRACE) => {}
        }
        std::process::exit(Exit::Fault as i32)
    }

    /// Ends the work in hand, then the requests, then the apps.
    pub(crate) async fn stop(self) -> Result<()> {
        let (_hurry, hurried) = watch::channel(false);
        self.stop_within(hurried).await
    }

    /// The same, as fast as can be once there is a hurry.
    async fn stop_within(self, hurried: watch::Receiver<bool>) -> Result<()> {
        let in_a_hurry = async || {
            let mut hurried = hurried.clone();
            if hurried.wait_for(|hurried| *hurried).await.is_err() {
                std::future::pending().await
            }
        };
        let patience = match self.host.engine.store_trouble() {
            Some(_) => Duration::ZERO, // what cannot be recorded is not worth the wait
            None => PATIENCE,
        };
        let enough = async {
            let _ = tokio::time::timeout(patience, in_a_hurry()).await;
        };
        self.worker.drain_until(enough).await;
        if let Some(ingress) = &self.builtin {
            tokio::select! {
                () = ingress.shutdown(GRACE) => {}
                () = in_a_hurry() => ingress.shutdown(Duration::ZERO).await,
            }
        }
        let grace = match *hurried.borrow() {
            true => Duration::from_secs(1),
            false => GRACE,
        };
        Ok(self.host.executor.shutdown(grace).await?)
    }
}

/// Brings the routes back where Caddy was started again and has lost them.
async fn keep_routes(caddy: CaddyIngress, engine: Engine) {
    loop {
        tokio::time::sleep(LOOK_AT_CADDY).await;
        match caddy.routes().await {
            // Nothing is live, or nothing of it is routed.
            Ok(routes) if routes.is_empty() => match engine.restore().await {
                Ok(restored) if restored.serving > 0 => {
                    let serving = restored.serving;
                    tracing::warn!(serving, "Caddy had lost its routes, and has them again");
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "Caddy's routes cannot be brought back"),
            },
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "Caddy cannot be asked"),
        }
    }
}

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

/// The content of `/healthz`, which is asked for in passing and must not wait.
#[derive(Clone)]
struct Health {
    started: Instant,
    queue: Arc<Mutex<std::result::Result<QueueStats, String>>>,
}

impl Health {
    fn new() -> Self {
        Self {
            started: Instant::now(),
            queue: Arc::new(Mutex::new(Err("starting".into()))),
        }
    }

    /// Looks at the queue, now and then every second.
    async fn keep(self, engine: Engine) {
        self.look(&engine).await;
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                self.look(&engine).await;
            }
        });
    }

    async fn look(&self, engine: &Engine) {
        let stats = match (engine.queue_stats().await, engine.store_trouble()) {
            (Err(error), _) => Err(format!("the store cannot be read: {error}")),
            (_, Some(trouble)) => Err(format!("the store takes no writes: {}", trouble.error)),
            (Ok(stats), None) => Ok(stats),
        };
        *self.queue.lock().unwrap_or_else(PoisonError::into_inner) = stats;
    }

    fn answer(&self) -> std::result::Result<Value, Value> {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let (version, uptime) = (env!("CARGO_PKG_VERSION"), self.started.elapsed().as_secs());
        match &*queue {
            Ok(queue) => Ok(json!({
                "status": "ok",
                "version": version,
                "uptime_seconds": uptime,
                "queue": queue,
            })),
            Err(why) => Err(json!({
                "status": "store unavailable",
                "version": version,
                "uptime_seconds": uptime,
                "reason": why,
            })),
        }
    }
}
