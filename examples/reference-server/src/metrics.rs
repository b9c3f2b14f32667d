//! Metrics for Prometheus, at an address of their own.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use deployr_core::engine::{Engine, EngineError};
use deployr_core::store::{KindStats, WorkerSeen};
use deployr_core::value::JobKind;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics::gauge;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use serde_json::json;
use tokio::net::TcpListener;

use crate::exit::{Error, Result};
use crate::ui::Ui;
use crate::view;

/// How often the queue is looked at.
const EVERY: Duration = Duration::from_secs(5);

/// Where a histogram's buckets end, in seconds: from a call of the store to a long build.
const BUCKETS: [f64; 13] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0,
];

/// Serves `/metrics` there until the process ends.
pub(crate) async fn serve(address: SocketAddr, engine: Engine, ui: &Ui) -> Result<()> {
    let listener = TcpListener::bind(address).await.map_err(|error| {
        Error::io(format!("serve metrics at {address}"), error)
            .hint("choose another address with --metrics-listen")
    })?;
    let recorder = PrometheusBuilder::new().set_buckets(&BUCKETS);
    let recorder = recorder.and_then(PrometheusBuilder::install_recorder);
    let metrics = recorder.map_err(|error| Error::fault(format!("no metrics: {error}")))?;
    let address = listener.local_addr().unwrap_or(address);
    ui.emit(&json!({"event": "metrics", "address": address}));
    ui.say(format_args!("metrics at http://{address}/metrics"));
    tokio::spawn(listen(listener, metrics.clone()));
    // These are told of also where there are none.
    let mut kinds = BTreeSet::from([JobKind::parse("deploy")?, JobKind::parse("notify")?]);
    tokio::spawn(async move {
        loop {
            if let Err(error) = look(&engine, &mut kinds).await {
                tracing::warn!(%error, "the queue was not looked at for the metrics");
            }
            // Histograms grow until they are asked for, or until this.
            metrics.run_upkeep();
            tokio::time::sleep(EVERY).await;
        }
    });
    Ok(())
}

async fn listen(listener: TcpListener, metrics: PrometheusHandle) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // No more files may be opened: let some be closed.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let metrics = metrics.clone();
        let answer = service_fn(move |request: Request<Incoming>| {
            let answer = match request.uri().path() {
                "/metrics" => Response::new(metrics.render()),
                _ => {
                    let mut answer = Response::new("metrics are at /metrics\n".to_owned());
                    *answer.status_mut() = StatusCode::NOT_FOUND;
                    answer
                }
            };
            std::future::ready(Ok::<_, Infallible>(answer))
        });
        // Its timer ends connections that say nothing.
        let mut server = http1::Builder::new();
        server.timer(TokioTimer::new());
        tokio::spawn(server.serve_connection(TokioIo::new(stream), answer));
    }
}

/// What only the store knows; the same on each machine, so to be taken from one.
async fn look(
    engine: &Engine,
    kinds: &mut BTreeSet<JobKind>,
) -> std::result::Result<(), EngineError> {
    let stats = engine.queue_by_kind().await?;
    kinds.extend(stats.iter().map(|one| one.kind.clone()));
    for kind in &*kinds {
        // One of which nothing is left is told as such, and does not stay as it was.
        show(kind, stats.iter().find(|one| one.kind == *kind));
    }
    let workers = engine.workers().await?;
    let alive = workers.iter().filter(|worker| worker.lives());
    let sum = |of: fn(&WorkerSeen) -> u32| alive.clone().map(|one| f64::from(of(one))).sum::<f64>();
    gauge!("deployr_workers").set(alive.clone().count() as f64);
    gauge!("deployr_worker_places").set(sum(|one| one.report.concurrency));
    gauge!("deployr_worker_jobs").set(sum(|one| one.report.held));
    Ok(())
}

fn show(kind: &JobKind, stats: Option<&KindStats>) {
    let kind = kind.to_string();
    let count = |of: fn(&KindStats) -> u64| stats.map_or(0.0, |stats| of(stats) as f64);
    let set = |state: &'static str, jobs: f64| {
        gauge!("deployr_queue_jobs", "kind" => kind.clone(), "state" => state).set(jobs);
    };
    set("pending", count(|stats| stats.pending));
    set("queued", count(|stats| stats.queued));
    set("running", count(|stats| stats.running));
    gauge!("deployr_queue_rescued", "kind" => kind.clone()).set(count(|stats| stats.rescued));
    let oldest = stats.and_then(|stats| stats.oldest);
    let oldest = oldest.map_or(Duration::ZERO, |at| view::span(at, None));
    gauge!("deployr_queue_oldest_seconds", "kind" => kind).set(oldest.as_secs_f64());
}
