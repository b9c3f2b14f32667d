//! The engine at work in this process: the lock, a worker, and perhaps an ingress.

mod attend;
mod health;
mod routes;

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use deployr_core::error::StepError;
use deployr_core::ingress::Ingress;
use deployr_core::value::Slug;
use deployr_core::worker::Worker;
use deployr_exec::ingress::BuiltinIngress;
use tokio::sync::watch;

pub(crate) use attend::attend;

use crate::config::Settings;
use crate::data::{DataDir, EngineLock, Holder};
use crate::docker;
use crate::exit::{Error, Exit, Result};
use crate::host::{self, Host, local_builder};
use crate::metrics;
use crate::signals::Signals;
use crate::ui::Ui;
use health::Health;

/// How long work in hand may go on after the wish to stop.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long requests under way, and apps, are given to end.
const GRACE: Duration = Duration::from_secs(10);

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
            tokio::spawn(routes::keep(caddy, host.engine.clone()));
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
