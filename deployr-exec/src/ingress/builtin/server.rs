//! Accepts connections and finds for each request who answers it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use deployr_core::value::{CustomDomain, Network};
use http::header::{HeaderValue, RETRY_AFTER};
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::backend::{Body, Counted, Pass, Target};
use super::headers::{self, RELEASE, Site, page};
use super::proxy::{Origin, RESTART_GAP, RESTART_PROBE};
use super::table::{Table, Wanted};

/// How long a request's head may take to arrive, and how long a connection may be idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_HEAD: usize = 64 * 1024;
const MAX_HEADERS: usize = 128;

pub(super) type Health = Arc<dyn Fn() -> Result<Value, Value> + Send + Sync>;

#[derive(Clone)]
pub(super) struct Settings {
    pub(super) domain: Arc<str>,
    pub(super) health: Option<Health>,
    pub(super) patience: Duration,
    pub(super) trusted: Arc<[Network]>,
    /// Cancelled once all routes are there; none when they are from the beginning.
    pub(super) ready: Option<CancellationToken>,
}

pub(super) struct Server {
    pub(super) table: Table,
    settings: RwLock<Settings>,
    /// No new connections; those that are open end after their request.
    closing: CancellationToken,
    /// Nothing goes on.
    cut: CancellationToken,
    tasks: TaskTracker,
}

impl Server {
    pub(super) fn start(listener: TcpListener, settings: Settings) -> Arc<Self> {
        let cut = CancellationToken::new();
        let server = Arc::new(Self {
            table: Table::new(cut.clone()),
            settings: RwLock::new(settings),
            closing: CancellationToken::new(),
            cut,
            tasks: TaskTracker::new(),
        });
        server.tasks.spawn(Arc::clone(&server).accept(listener));
        server
    }

    pub(super) fn settings(&self) -> Settings {
        self.settings
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn set(&self, change: impl FnOnce(&mut Settings)) {
        change(
            &mut self
                .settings
                .write()
                .unwrap_or_else(PoisonError::into_inner),
        );
    }

    pub(super) async fn shutdown(&self, grace: Duration) {
        self.closing.cancel();
        self.tasks.close();
        if timeout(grace, self.tasks.wait()).await.is_err() {
            self.cut.cancel();
            self.tasks.wait().await;
        }
    }

    pub(super) fn abort(&self) {
        self.closing.cancel();
        self.cut.cancel();
    }

    async fn accept(self: Arc<Self>, listener: TcpListener) {
        loop {
            let accepted = tokio::select! {
                () = self.closing.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let server = Arc::clone(&self);
                    self.tasks.spawn(server.serve(stream, peer));
                }
                Err(error) => {
                    // Most likely out of file descriptors, which time mends.
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    async fn serve(self: Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        let _ = stream.set_nodelay(true);
        let service = service_fn(|request| {
            let server = Arc::clone(&self);
            async move { Ok::<_, Infallible>(server.answer(request, peer).await) }
        });
        let mut connection = pin!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .max_buf_size(MAX_HEAD)
                .max_headers(MAX_HEADERS)
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades()
        );
        let end = tokio::select! {
            end = connection.as_mut() => end,
            () = self.cut.cancelled() => return,
            () = self.closing.cancelled() => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    end = connection => end,
                    () = self.cut.cancelled() => return,
                }
            }
        };
        if let Err(error) = end {
            tracing::debug!(%error, %peer, "a connection ended early");
        }
    }

    async fn answer(&self, request: Request<Incoming>, peer: SocketAddr) -> Response<Body> {
        if request.method() == Method::CONNECT {
            return page(
                StatusCode::METHOD_NOT_ALLOWED,
                "This is not that kind of proxy.",
            );
        }
        let Some(host) = headers::host(&request) else {
            return page(
                StatusCode::BAD_REQUEST,
                "The request does not say for which host it is.",
            );
        };
        let Settings {
            domain,
            health,
            patience,
            trusted,
            ready,
        } = self.settings();
        let (slug, name) = match headers::site(&host, &domain) {
            Site::Project(slug) => (Some(slug), String::new()),
            Site::Other(name) => (None, name),
            Site::Unknown => return no_such_site(),
        };
        let wanted = match &slug {
            Some(slug) => Wanted::Slug(slug),
            None => Wanted::Domain(&name),
        };
        let pass = match self.table.enter(wanted) {
            Some(pass) => pass,
            None => {
                // The server itself, or a domain that nobody has.
                if slug.is_none() {
                    if let Some(health) = healthz(&request, health) {
                        return health;
                    }
                    if CustomDomain::parse(&name).is_err() {
                        return no_such_site();
                    }
                }
                match self.enter_once_up(wanted, ready).await {
                    Ok(pass) => pass,
                    Err(nobody) => return nobody,
                }
            }
        };
        let origin = Origin {
            peer,
            host: &host,
            is_trusted: trusted.iter().any(|network| network.contains(peer.ip())),
            patience,
            tasks: &self.tasks,
        };
        self.hand_on(request, origin, pass).await
    }

    /// While routes are still to come, a name that has none may get one.
    async fn enter_once_up(
        &self,
        wanted: Wanted<'_>,
        ready: Option<CancellationToken>,
    ) -> Result<Pass, Response<Body>> {
        let Some(ready) = ready else {
            return Err(no_such_site());
        };
        let routed = async {
            while !ready.is_cancelled() {
                tokio::select! {
                    () = ready.cancelled() => {}
                    () = sleep(RESTART_PROBE) => {}
                }
                if let Some(pass) = self.table.enter(wanted) {
                    return Ok(pass);
                }
            }
            Err(no_such_site())
        };
        match timeout(RESTART_GAP, routed).await {
            Ok(answer) => answer,
            Err(_) => {
                let text = "The server is starting. Try again.";
                let mut response = page(StatusCode::SERVICE_UNAVAILABLE, text);
                let soon = HeaderValue::from_static("1");
                response.headers_mut().insert(RETRY_AFTER, soon);
                Err(response)
            }
        }
    }

    async fn hand_on(
        &self,
        request: Request<Incoming>,
        origin: Origin<'_>,
        pass: Pass,
    ) -> Response<Body> {
        let answer = async {
            match &pass.target {
                Target::App(app) => app.answer(request, origin, &pass).await,
                Target::Folder(folder) => folder.answer(request).await,
            }
        };
        let response = tokio::select! {
            response = answer => Some(response),
            () = pass.cut_off() => None,
        };
        let release = HeaderValue::from(pass.release);
        let mut response = match response {
            Some(response) => response.map(|body| Counted::new(body, pass).boxed_unsync()),
            None => page(
                StatusCode::SERVICE_UNAVAILABLE,
                "The site was replaced meanwhile. Try again.",
            ),
        };
        response.headers_mut().insert(RELEASE, release);
        response
    }
}

fn no_such_site() -> Response<Body> {
    page(StatusCode::NOT_FOUND, "no such site")
}

fn healthz(request: &Request<Incoming>, health: Option<Health>) -> Option<Response<Body>> {
    let asks = matches!(*request.method(), Method::GET | Method::HEAD);
    let health = health.filter(|_| asks && request.uri().path() == "/healthz")?;
    let (status, text) = match health() {
        Ok(well) => (StatusCode::OK, well),
        Err(unwell) => (StatusCode::SERVICE_UNAVAILABLE, unwell),
    };
    let json = HeaderValue::from_static("application/json");
    Some(headers::content(status, json, text.to_string()))
}
