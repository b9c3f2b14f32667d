//! A test app, and clients that say on the wire exactly what a test wants said.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use deployr_core::executor::Endpoint;
use deployr_core::ingress::{Ingress, Route};
use deployr_core::model::Turn;
use deployr_core::value::Slug;
use deployr_exec::ingress::BuiltinIngress;
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

pub(crate) const LOCAL: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0));

pub(crate) type TestBody = BoxBody<Bytes, std::io::Error>;

pub(crate) struct App {
    pub(crate) address: SocketAddr,
    requests: watch::Receiver<usize>,
    /// Dropped, it closes the port and all connections, as a process that is killed.
    _running: AbortOnDropHandle<()>,
}

impl App {
    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::Http {
            address: self.address,
        }
    }

    /// Waits until so many requests have come in.
    pub(crate) async fn reached(&self, count: usize) {
        self.requests
            .clone()
            .wait_for(|n| *n >= count)
            .await
            .unwrap();
    }
}

pub(crate) async fn app<F, R>(answer: F) -> App
where
    F: Fn(Request<Incoming>) -> R + Send + Sync + 'static,
    R: Future<Output = Response<TestBody>> + Send + 'static,
{
    app_at(LOCAL, answer).await
}

pub(crate) async fn app_at<F, R>(address: SocketAddr, answer: F) -> App
where
    F: Fn(Request<Incoming>) -> R + Send + Sync + 'static,
    R: Future<Output = Response<TestBody>> + Send + 'static,
{
    let listener = TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (count, requests) = watch::channel(0);
    let shared = Arc::new((answer, count));
    let running = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let shared = Arc::clone(&shared);
            connections.spawn(async move {
                let service = service_fn(|request| {
                    shared.1.send_modify(|n| *n += 1);
                    let answer = (shared.0)(request);
                    async move { Ok::<_, Infallible>(answer.await) }
                });
                let io = TokioIo::new(stream);
                let _ = http1::Builder::new()
                    .serve_connection(io, service)
                    .with_upgrades()
                    .await;
            });
        }
    });
    App {
        address,
        requests,
        _running: AbortOnDropHandle::new(running),
    }
}

pub(crate) fn text(body: impl Into<Bytes>) -> Response<TestBody> {
    Response::new(Full::new(body.into()).map_err(|e| match e {}).boxed())
}

pub(crate) async fn ingress() -> BuiltinIngress {
    BuiltinIngress::bind(LOCAL).await.unwrap()
}

pub(crate) fn slug() -> Slug {
    Slug::parse("shop").unwrap()
}

pub(crate) fn a_route(release: i64, endpoint: Endpoint, turn: i64) -> Route {
    Route {
        slug: slug(),
        release,
        endpoint,
        domains: Vec::new(),
        turn: Turn::new(turn, 1),
    }
}

pub(crate) async fn route(ingress: &BuiltinIngress, release: i64, endpoint: Endpoint, turn: i64) {
    ingress
        .route(a_route(release, endpoint, turn))
        .await
        .unwrap();
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn release(&self) -> i64 {
        self.header("x-deployr-release")
            .unwrap_or_default()
            .parse()
            .unwrap_or(-1)
    }
}

pub(crate) fn get_request(host: &str, path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n")
}

pub(crate) async fn get(ingress: &BuiltinIngress, host: &str, path: &str) -> Answer {
    raw(ingress, &get_request(host, path)).await
}

pub(crate) async fn raw(ingress: &BuiltinIngress, request: &str) -> Answer {
    parse(&exchange(ingress.local_addr(), request.to_owned()).await)
}

/// Sends the bytes and reads to the end, or to where the connection breaks.
pub(crate) async fn exchange(address: SocketAddr, request: String) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let _ = stream.write_all(request.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

fn parse(answer: &str) -> Answer {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let mut lines = head.lines();
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    Answer {
        status: status.unwrap_or(0),
        headers,
        body: body.to_owned(),
    }
}

/// A body whose chunks come when the test sends them.
pub(crate) struct Chunks(mpsc::UnboundedReceiver<&'static str>);

pub(crate) fn streamed() -> (mpsc::UnboundedSender<&'static str>, Response<TestBody>) {
    let (sender, chunks) = mpsc::unbounded_channel();
    (sender, Response::new(Chunks(chunks).boxed()))
}

impl Body for Chunks {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        self.0
            .poll_recv(cx)
            .map(|chunk| chunk.map(|chunk| Ok(Frame::data(chunk.into()))))
    }
}

/// Reads until the text has come.
pub(crate) async fn read_until(stream: &mut TcpStream, text: &str) -> String {
    let mut read = String::new();
    while !read.contains(text) {
        let mut chunk = [0; 4096];
        let n = stream.read(&mut chunk).await.unwrap();
        assert_ne!(n, 0, "the connection closed after {read:?}");
        read.push_str(&String::from_utf8_lossy(&chunk[..n]));
    }
    read
}

/// An app that switches protocols and then sends back what comes.
pub(crate) async fn echo() -> App {
    app(|mut request| async move {
        assert_eq!(request.headers()["upgrade"], "echo");
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let io = TokioIo::new(upgrade.await.unwrap());
            let (mut read, mut write) = tokio::io::split(io);
            let _ = tokio::io::copy(&mut read, &mut write).await;
        });
        let mut response = text("");
        *response.status_mut() = http::StatusCode::SWITCHING_PROTOCOLS;
        response
            .headers_mut()
            .insert("connection", "upgrade".parse().unwrap());
        response
            .headers_mut()
            .insert("upgrade", "echo".parse().unwrap());
        response
    })
    .await
}

/// Opens a tunnel through the ingress.
pub(crate) async fn open_tunnel(ingress: &BuiltinIngress) -> TcpStream {
    let mut stream = TcpStream::connect(ingress.local_addr()).await.unwrap();
    let ask = "GET /ws HTTP/1.1\r\nhost: shop.localhost\r\nconnection: keep-alive, Upgrade\r\nupgrade: echo\r\n\r\n";
    stream.write_all(ask.as_bytes()).await.unwrap();
    let head = read_until(&mut stream, "\r\n\r\n").await.to_lowercase();
    assert!(
        head.starts_with("http/1.1 101") && head.contains("upgrade: echo"),
        "{head}"
    );
    stream
}
