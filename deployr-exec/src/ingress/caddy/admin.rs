//! Asks Caddy's admin API: one call, one connection. The API is restarted with each
//! change of the configuration, so a connection that is kept would break now and then.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use deployr_core::error::Fault;
use http::header::{CONTENT_TYPE, ETAG, HOST, IF_MATCH};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

/// A configuration of some ten thousand routes.
const MAX_ANSWER: usize = 64 << 20;

/// Where Caddy's admin API is.
///
/// ```
/// use deployr_exec::ingress::AdminAddress;
///
/// let socket: AdminAddress = "unix//run/caddy/admin.sock".parse()?;
/// assert_eq!(socket.to_string(), "unix//run/caddy/admin.sock");
/// assert_eq!(AdminAddress::default().to_string(), "localhost:2019");
/// assert!("caddy.example.com".parse::<AdminAddress>().is_err());
/// # Ok::<(), deployr_exec::ingress::caddy::InvalidAddress>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminAddress(Place);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Tcp(String),
    Unix(PathBuf),
}

/// Neither `host:port` nor `unix//path`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidAddress;

impl fmt::Display for InvalidAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "must be an address with a port, as localhost:2019, or a socket, as \
             unix//run/caddy/admin.sock",
        )
    }
}

impl std::error::Error for InvalidAddress {}

impl Default for AdminAddress {
    /// Caddy's own default, `localhost:2019`.
    fn default() -> Self {
        Self(Place::Tcp("localhost:2019".to_owned()))
    }
}

impl FromStr for AdminAddress {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        if let Some(path) = text.strip_prefix("unix/") {
            let path = PathBuf::from(path);
            return match path.is_absolute() {
                true => Ok(Self(Place::Unix(path))),
                false => Err(InvalidAddress),
            };
        }
        let (host, port) = text.rsplit_once(':').ok_or(InvalidAddress)?;
        let is_host =
            !host.is_empty() && HeaderValue::from_str(text).is_ok() && !text.contains('/');
        match port.parse::<u16>() {
            Ok(1..) if is_host => Ok(Self(Place::Tcp(text.to_owned()))),
            _ => Err(InvalidAddress),
        }
    }
}

impl fmt::Display for AdminAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Tcp(address) => f.write_str(address),
            Place::Unix(path) => write!(f, "unix/{}", path.display()),
        }
    }
}

/// What is asked: a value, so that it can be looked at before it is sent.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) path: String,
    /// Refused where what this names has changed since it was read.
    pub(super) only_if: Option<Version>,
    pub(super) body: Option<Value>,
}

/// The state of a part of the configuration: Caddy's `Etag`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Version(HeaderValue);

/// A part of the configuration as it was read.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) value: Value,
    pub(super) version: Option<Version>,
}

/// Why a call did not succeed.
#[derive(Debug)]
pub(super) enum Failure {
    /// There is nothing at the path.
    Missing,
    /// What `only_if` names has changed.
    Changed,
    /// It was answered, and refused.
    Refused(String),
    /// No answer.
    Unanswered(String),
}

impl Failure {
    /// The same in words, for what was attempted on what.
    pub(super) fn into_fault(
        self,
        operation: &'static str,
        subject: impl fmt::Display,
        address: &AdminAddress,
    ) -> Fault {
        match self {
            Self::Missing => Fault::retryable(
                operation,
                subject,
                format_args!("Caddy at {address} has lost its configuration meanwhile"),
            ),
            Self::Changed => Fault::retryable(
                operation,
                subject,
                format_args!("others change the configuration of Caddy at {address} all the time"),
            ),
            Self::Refused(why) => Fault::permanent(
                operation,
                subject,
                format_args!("Caddy at {address} refused it: {why}"),
            ),
            Self::Unanswered(why) => Fault::retryable(
                operation,
                subject,
                format_args!(
                    "Caddy's admin API at {address} does not answer: {why}; start Caddy, or \
                     give the address that its configuration has under `admin`"
                ),
            ),
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Admin {
    pub(super) address: AdminAddress,
    /// For a whole call. A change takes Caddy as long as the modules of all of its users take.
    pub(super) patience: Duration,
}

impl Admin {
    pub(super) async fn get(&self, path: impl Into<String>) -> Result<Part, Failure> {
        self.send(Call {
            method: Method::GET,
            path: path.into(),
            only_if: None,
            body: None,
        })
        .await
    }

    pub(super) async fn send(&self, call: Call) -> Result<Part, Failure> {
        let answer = timeout(self.patience, self.exchange(call)).await;
        answer.unwrap_or_else(|_| {
            let seconds = self.patience.as_secs_f32();
            Err(Failure::Unanswered(format!("nothing came for {seconds} s")))
        })
    }

    async fn exchange(&self, call: Call) -> Result<Part, Failure> {
        match &self.address.0 {
            Place::Tcp(address) => {
                let stream = TcpStream::connect(address).await.map_err(unanswered)?;
                exchange_over(TokioIo::new(stream), address, call).await
            }
            Place::Unix(path) => {
                let stream = UnixStream::connect(path).await.map_err(unanswered)?;
                // The only name by which a Caddy on a socket can be called.
                exchange_over(TokioIo::new(stream), "", call).await
            }
        }
    }
}

fn unanswered(error: impl std::error::Error) -> Failure {
    Failure::Unanswered(error.to_string())
}

async fn exchange_over(
    io: impl Read + Write + Send + Unpin + 'static,
    host: &str,
    call: Call,
) -> Result<Part, Failure> {
    let (mut sender, connection) = http1::handshake(io).await.map_err(unanswered)?;
    // Ends with the exchange, whichever way that ends.
    let connection = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(connection));
    let mut request = Request::builder()
        .method(call.method)
        .uri(call.path)
        .header(HOST, host)
        .header(CONTENT_TYPE, "application/json");
    if let Some(Version(version)) = call.only_if {
        request = request.header(IF_MATCH, version);
    }
    let body = call.body.map(|body| body.to_string()).unwrap_or_default();
    let request = request
        .body(Full::<Bytes>::from(body))
        .map_err(|error| Failure::Refused(error.to_string()))?;
    let response = sender.send_request(request).await.map_err(unanswered)?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_ANSWER)
        .collect()
        .await;
    let body = body.map_err(|error| Failure::Unanswered(error.to_string()))?;
    drop(connection);
    // It comes behind the body, of which it is made.
    let version = body.trailers().and_then(|trailers| trailers.get(ETAG));
    let version = version.cloned().map(Version);
    let bytes = body.to_bytes();
    if status.is_success() {
        let value = match bytes.is_empty() {
            true => Value::Null,
            false => serde_json::from_slice(&bytes).map_err(unanswered)?,
        };
        return Ok(Part { value, version });
    }
    Err(refusal(status, &bytes))
}

fn refusal(status: StatusCode, body: &[u8]) -> Failure {
    let json: Option<Value> = serde_json::from_slice(body).ok();
    let told = json.as_ref().and_then(|json| json["error"].as_str());
    match told {
        _ if status == StatusCode::PRECONDITION_FAILED => Failure::Changed,
        _ if status == StatusCode::NOT_FOUND => Failure::Missing,
        // What was read stood in a list, from which others have been taken out since.
        Some(told) if told.contains("array index out of bounds") => Failure::Changed,
        // What Caddy says where a parent of what is asked for is not there.
        Some(told) if told.starts_with("invalid traversal path") => Failure::Missing,
        Some(told) => Failure::Refused(told.to_owned()),
        None => Failure::Refused(format!("status {status}; is it Caddy's admin API?")),
    }
}
