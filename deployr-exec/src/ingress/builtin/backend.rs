//! One release behind a name, and the count of the requests that are on their way to it.

use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use deployr_core::error::Fault;
use deployr_core::executor::Endpoint;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::files::Folder;
use super::proxy::App;

pub(super) type Error = Box<dyn std::error::Error + Send + Sync>;
pub(super) type Body = UnsyncBoxBody<Bytes, Error>;

/// Where the requests of one release go.
pub(super) struct Backend {
    pub(super) release: i64,
    endpoint: Endpoint,
    pub(super) target: Target,
    in_flight: watch::Sender<usize>,
    cut: CancellationToken,
}

pub(super) enum Target {
    App(App),
    Folder(Folder),
}

impl Backend {
    pub(super) fn new(
        release: i64,
        endpoint: Endpoint,
        cut: CancellationToken,
    ) -> Result<Self, Fault> {
        let target = match &endpoint {
            Endpoint::Http { address } => Target::App(App::new(*address)),
            Endpoint::Folder { path, single_page } => {
                Target::Folder(Folder::new(path.clone(), *single_page, release))
            }
            other => {
                return Err(Fault::permanent(
                    "route",
                    format_args!("release {release}"),
                    format_args!("the builtin ingress cannot send requests to {other:?}"),
                ));
            }
        };
        Ok(Self {
            release,
            endpoint,
            target,
            in_flight: watch::Sender::new(0),
            cut,
        })
    }

    pub(super) fn is(&self, release: i64, endpoint: &Endpoint) -> bool {
        self.release == release && self.endpoint == *endpoint
    }

    pub(super) fn is_idle(&self) -> bool {
        *self.in_flight.borrow() == 0
    }

    /// Ends when no request is left.
    pub(super) async fn idle(&self) {
        // Fails only when the sender is gone, which `self` holds.
        let _ = self
            .in_flight
            .subscribe()
            .wait_for(|count| *count == 0)
            .await;
    }

    /// Ends the requests that are left, and says how many they were.
    pub(super) fn cut(&self) -> usize {
        let left = *self.in_flight.borrow();
        self.cut.cancel();
        left
    }
}

/// One request on its way to a backend. Counts for as long as it lives.
pub(super) struct Pass(Arc<Backend>);

impl Pass {
    pub(super) fn new(backend: Arc<Backend>) -> Self {
        backend.in_flight.send_modify(|count| *count += 1);
        Self(backend)
    }

    /// A second pass to the same backend, for a tunnel, which outlives its request.
    pub(super) fn another(&self) -> Self {
        Self::new(Arc::clone(&self.0))
    }

    /// Ends when the request is to be cut.
    pub(super) async fn cut_off(&self) {
        self.0.cut.cancelled().await;
    }
}

impl Deref for Pass {
    type Target = Backend;

    fn deref(&self) -> &Backend {
        &self.0
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.0.in_flight.send_modify(|count| *count -= 1);
    }
}

/// A response's body, in which the request still counts.
pub(super) struct Counted {
    body: Body,
    /// Given back at the end of the body: the connection may hold the body for longer.
    pass: Option<Pass>,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Counted {
    pub(super) fn new(body: Body, pass: Pass) -> Self {
        let cut = Box::pin(pass.0.cut.clone().cancelled_owned());
        Self {
            body,
            pass: Some(pass),
            cut,
        }
    }
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.pass.is_some() && self.cut.as_mut().poll(cx).is_ready() {
            self.pass = None;
            return Poll::Ready(Some(Err(
                "the release was replaced; the rest is cut off".into()
            )));
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) {
            self.pass = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
