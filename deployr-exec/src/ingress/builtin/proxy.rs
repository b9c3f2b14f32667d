//! Passes requests on to the process of a release.

use std::error::Error as _;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, StatusCode, Uri, Version, request};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body as HttpBody, Bytes, Frame, Incoming, SizeHint};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::task::TaskTracker;

use super::backend::{Body, Pass};
use super::headers::{page, set_forwarded, set_upgrade, strip_hop_by_hop, upgrade};
use super::upgrade::tunnel;

/// For how long a request waits for an app, or a server, that is being started again.
pub(super) const RESTART_GAP: Duration = Duration::from_secs(5);
pub(super) const RESTART_PROBE: Duration = Duration::from_millis(50);
/// How often a request that may be repeated is sent again when its connection was
/// closed without an answer.
const MAX_LOST: u32 = 3;

type Sender = Client<HttpConnector, Upload>;

/// The process of a release. Its connections are its own and close with it, so that
/// an app which waits for idle connections to close can end.
pub(super) struct App {
    authority: Option<Authority>,
    /// For requests that may be sent twice.
    pooled: Sender,
    /// For the others: a connection that has been idle may be just being closed.
    fresh: Sender,
}

/// A request's way here.
pub(super) struct Origin<'a> {
    pub(super) peer: SocketAddr,
    pub(super) host: &'a Authority,
    /// Whether the peer is believed what it says of those before it.
    pub(super) is_trusted: bool,
    /// How long the app may be silent before its answer begins.
    pub(super) patience: Duration,
    /// Keeps the tunnels.
    pub(super) tasks: &'a TaskTracker,
}

impl App {
    pub(super) fn new(address: SocketAddr) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(RESTART_GAP));
        let mut builder = Client::builder(TokioExecutor::new());
        builder
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(15));
        let pooled = builder.build(connector.clone());
        let fresh = builder.pool_max_idle_per_host(0).build(connector);
        Self {
            authority: address.to_string().parse().ok(),
            pooled,
            fresh,
        }
    }

    /// Sends a request, and what it takes to get an answer for it.
    pub(super) async fn answer(
        &self,
        mut request: Request<Incoming>,
        origin: Origin<'_>,
        pass: &Pass,
    ) -> Response<Body> {
        let wanted = upgrade(request.headers()).filter(|_| request.version() == Version::HTTP_11);
        let client = hyper::upgrade::on(&mut request);
        let (mut head, body) = request.into_parts();
        head.extensions.clear();
        head.version = Version::HTTP_11;
        head.uri = self.uri(head.uri.path_and_query());
        strip_hop_by_hop(&mut head.headers);
        set_forwarded(
            &mut head.headers,
            origin.peer,
            origin.host,
            origin.is_trusted,
        );
        let upgrades = wanted.is_some();
        if let Some(protocol) = wanted {
            set_upgrade(&mut head.headers, protocol);
        }
        let upload = Upload::new(body);
        let mut response = tokio::select! {
            response = self.send(&head, &upload, upgrades) => match response {
                Ok(response) => response,
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, release = pass.release, "an app gave no answer");
                    return page(StatusCode::BAD_GATEWAY, "The site does not answer at the moment.");
                }
            },
            () = upload.silence(origin.patience) => {
                return page(StatusCode::GATEWAY_TIMEOUT, "The site took too long to answer.");
            }
        };
        *response.version_mut() = Version::HTTP_11;
        let protocol = upgrade(response.headers());
        strip_hop_by_hop(response.headers_mut());
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let Some(protocol) = protocol.filter(|_| upgrades) else {
                return page(
                    StatusCode::BAD_GATEWAY,
                    "The site switched protocols unasked.",
                );
            };
            let app = hyper::upgrade::on(&mut response);
            origin.tasks.spawn(tunnel(client, app, pass.another()));
            set_upgrade(response.headers_mut(), protocol);
            return response.map(|_| Empty::new().map_err(|e| match e {}).boxed_unsync());
        }
        response.map(|body| body.map_err(Into::into).boxed_unsync())
    }

    async fn send(
        &self,
        head: &request::Parts,
        upload: &Upload,
        upgrades: bool,
    ) -> Result<Response<Incoming>, hyper_util::client::legacy::Error> {
        let repeatable = head.method.is_idempotent() && upload.is_end_stream() && !upgrades;
        let sender = if repeatable {
            &self.pooled
        } else {
            &self.fresh
        };
        let until = Instant::now() + RESTART_GAP;
        let mut lost = 0;
        loop {
            let request = Request::from_parts(head.clone(), upload.clone());
            let error = match sender.request(request).await {
                Ok(response) => return Ok(response),
                Err(error) => error,
            };
            let unsent = never_sent(&error);
            lost += u32::from(!unsent);
            if Instant::now() >= until || !(unsent || repeatable && lost <= MAX_LOST) {
                return Err(error);
            }
            sleep(RESTART_PROBE).await;
        }
    }

    fn uri(&self, path: Option<&PathAndQuery>) -> Uri {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = self.authority.clone();
        parts.path_and_query = Some(path.cloned().unwrap_or(PathAndQuery::from_static("/")));
        Uri::from_parts(parts).unwrap_or_default()
    }
}

/// Whether no byte of the request can have reached the app.
fn never_sent(error: &hyper_util::client::legacy::Error) -> bool {
    let cause = error
        .source()
        .and_then(|cause| cause.downcast_ref::<hyper::Error>());
    error.is_connect() || cause.is_some_and(hyper::Error::is_canceled)
}

/// A request's body, as it streams in. A clone is the same body, so that an attempt
/// which did not get as far as reading it leaves it to the next.
#[derive(Clone)]
struct Upload(Arc<Mutex<Progress>>);

struct Progress {
    body: Incoming,
    last: Instant,
}

impl Upload {
    fn new(body: Incoming) -> Self {
        Self(Arc::new(Mutex::new(Progress {
            body,
            last: Instant::now(),
        })))
    }

    /// Ends when nothing has been uploaded for that long.
    async fn silence(&self, limit: Duration) {
        loop {
            let until = self.lock().last + limit;
            if until <= Instant::now() {
                return;
            }
            sleep_until(until).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HttpBody for Upload {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let mut progress = self.lock();
        let frame = Pin::new(&mut progress.body).poll_frame(cx);
        if frame.is_ready() {
            progress.last = Instant::now();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.lock().body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.lock().body.size_hint()
    }
}
