//! Git's "smart HTTP": one GET for the list of refs, one POST per round of
//! negotiation, each answered by a stream.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf, Bytes};
use deployr_core::error::{Fault, StepError, StepResult};
use deployr_core::source::{Credentials, Source};
use git2::transport::{Service, SmartSubtransport, SmartSubtransportStream};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, LOCATION};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url, redirect};
use secrecy::ExposeSecret;

use super::proxy::Proxy;
use super::{Session, wrong_credentials};
use crate::error::{chain, refused};

const LIST: &str = "/info/refs?service=git-upload-pack";
/// Some servers answer only to programs whose name starts so.
const USER_AGENT: &str = concat!("git/2.0 (deployr ", env!("CARGO_PKG_VERSION"), ")");

/// How to get to a server.
#[derive(Debug)]
pub(super) enum Way {
    /// To one of these addresses, which were checked, and to no other.
    Straight(Vec<SocketAddr>),
    /// Through this proxy, which looks the name up.
    Through(Proxy),
}

/// Where to send requests.
#[derive(Debug)]
pub(super) struct Server {
    client: Client,
    base: String,
    authorization: Option<HeaderValue>,
    /// For errors.
    proxy: Option<String>,
}

impl Server {
    pub(super) fn new(source: &Source, way: &Way) -> StepResult<Self> {
        let url = source.url.as_str();
        let failed = |error: &dyn std::error::Error| Fault::permanent("fetch", url, chain(error));
        let authorization = match &source.credentials {
            None => None,
            Some(Credentials::Password { user, password }) => {
                let pair = STANDARD.encode(format!("{user}:{}", password.expose_secret()));
                let mut value =
                    HeaderValue::try_from(format!("Basic {pair}")).map_err(|e| failed(&e))?;
                value.set_sensitive(true);
                Some(value)
            }
            Some(_) => return Err(wrong_credentials(url, "an SSH key", "a password or token")),
        };
        // The client's own proxies would be those of the environment.
        let client = Client::builder()
            .user_agent(USER_AGENT)
            .no_proxy()
            .referer(false)
            .connect_timeout(Duration::from_secs(20))
            .redirect(redirect::Policy::custom(same_origin));
        let client = match way {
            Way::Straight(addresses) => {
                client.resolve_to_addrs(source.url.host().unwrap_or_default(), addresses)
            }
            Way::Through(proxy) => client.proxy(proxy.for_client(&source.url)?),
        };
        let proxy = match way {
            Way::Straight(_) => None,
            Way::Through(proxy) => Some(proxy.shown()),
        };
        Ok(Self {
            client: client.build().map_err(|e| failed(&e))?,
            base: url.trim_end_matches('/').to_owned(),
            authorization,
            proxy,
        })
    }
}

/// Follows where the address and the credentials stay with the same server, as for a
/// renamed repository.
fn same_origin(attempt: redirect::Attempt<'_>) -> redirect::Action {
    let same = attempt
        .previous()
        .first()
        .is_some_and(|first| first.origin() == attempt.url().origin());
    if same && attempt.previous().len() < 5 {
        attempt.follow()
    } else {
        attempt.stop()
    }
}

/// The connection as libgit2 sees it.
pub(super) struct Http {
    session: Arc<Session>,
    /// Where the list of refs was found, after redirects.
    base: Arc<Mutex<String>>,
}

impl Http {
    pub(super) fn new(session: Arc<Session>, server: &Server) -> Self {
        Self {
            session,
            base: Arc::new(Mutex::new(server.base.clone())),
        }
    }
}

impl SmartSubtransport for Http {
    fn action(
        &self,
        _url: &str,
        action: Service,
    ) -> Result<Box<dyn SmartSubtransportStream>, git2::Error> {
        let list = match action {
            Service::UploadPackLs => true,
            Service::UploadPack => false,
            _ => return Err(git2::Error::from_str("deployr never pushes")),
        };
        Ok(Box::new(Exchange {
            session: self.session.clone(),
            base: self.base.clone(),
            list,
            request: Vec::new(),
            response: None,
            chunk: Bytes::new(),
        }))
    }

    fn close(&self) -> Result<(), git2::Error> {
        Ok(())
    }
}

/// One request, written in full before the first byte of the answer is read.
struct Exchange {
    session: Arc<Session>,
    base: Arc<Mutex<String>>,
    list: bool,
    request: Vec<u8>,
    response: Option<Response>,
    chunk: Bytes,
}

impl Exchange {
    fn send(&mut self) -> io::Result<Response> {
        let watch = &self.session.watch;
        let super::Endpoint::Http(server) = &self.session.endpoint else {
            return Err(io::Error::other("not an HTTP server"));
        };
        let mut base = self.base.lock().unwrap_or_else(PoisonError::into_inner);
        let request = if self.list {
            server
                .client
                .get(format!("{base}{LIST}"))
                .header(ACCEPT, "*/*")
        } else {
            server
                .client
                .post(format!("{base}/git-upload-pack"))
                .header(CONTENT_TYPE, "application/x-git-upload-pack-request")
                .header(ACCEPT, "application/x-git-upload-pack-result")
                .body(std::mem::take(&mut self.request))
        };
        let response = watch
            .block_on(authorized(request, server.authorization.as_ref()).send())?
            .map_err(|error| watch.fail(lost(&watch.url, server.proxy.as_deref(), error)))?;
        check(&watch.url, &response, self.list).map_err(|error| watch.fail(error))?;
        if let Some(found) = self
            .list
            .then(|| response.url().as_str().strip_suffix(LIST))
            .flatten()
        {
            found.clone_into(&mut base);
        }
        Ok(response)
    }
}

fn authorized(request: RequestBuilder, authorization: Option<&HeaderValue>) -> RequestBuilder {
    match authorization {
        Some(value) => request.header(AUTHORIZATION, value.clone()),
        None => request,
    }
}

impl Read for Exchange {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.response.is_none() {
            self.response = Some(self.send()?);
        }
        let watch = &self.session.watch;
        while self.chunk.is_empty() {
            let Some(response) = &mut self.response else {
                return Ok(0);
            };
            let next = watch.block_on(response.chunk())?;
            match next.map_err(|error| watch.fail(lost(&watch.url, None, error)))? {
                Some(chunk) => self.chunk = chunk,
                None => return Ok(0),
            }
            watch.count(self.chunk.len())?;
        }
        let length = buffer.len().min(self.chunk.len());
        self.chunk
            .split_to(length)
            .copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}

impl Write for Exchange {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.request.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn lost(url: &str, proxy: Option<&str>, error: reqwest::Error) -> StepError {
    let error = error.without_url();
    let mut reason = chain(&error);
    if let Some(proxy) = proxy {
        reason = format!("{reason} (through the proxy {proxy})");
    }
    let fault = if reason.contains("invalid peer certificate") {
        let todo = "have it renewed, or add the one who signed it to those this machine trusts";
        Fault::permanent("fetch", url, format_args!("{reason}; {todo}"))
    } else {
        Fault::retryable("fetch", url, reason)
    };
    fault.because(error).into()
}

/// What the status means to whoever set up the project.
fn check(url: &str, response: &Response, list: bool) -> StepResult<()> {
    let status = response.status();
    let why = match status {
        StatusCode::OK => {
            let kind = response
                .headers()
                .get(CONTENT_TYPE)
                .and_then(|kind| kind.to_str().ok());
            if !list || kind == Some("application/x-git-upload-pack-advertisement") {
                return Ok(());
            }
            "the server answers, but not as a git repository; check the address".to_owned()
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => format!(
            "the server refused the credentials, or wants some (HTTP {}); check that the token is \
             valid and may read this repository",
            status.as_u16()
        ),
        StatusCode::NOT_FOUND | StatusCode::GONE => format!(
            "the server says that there is none (HTTP {}); check the address and, for a private \
             repository, that its credentials are set",
            status.as_u16()
        ),
        _ if status.is_redirection() => format!(
            "the server sends us on to {}, and redirects to another server are not followed; if \
             that is right, use its address for the project",
            target(response)
        ),
        StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
            let reason = "the proxy on the way wants credentials, or others (HTTP 407); put them \
                          into its address, as in `http://name:password@proxy:3128`";
            return Err(Fault::permanent("fetch", url, reason).into());
        }
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
            return Err(busy(url, status));
        }
        _ if status.is_server_error() => return Err(busy(url, status)),
        _ => format!("the server answered HTTP {}", status.as_u16()),
    };
    Err(refused(url, why))
}

fn busy(url: &str, status: StatusCode) -> StepError {
    Fault::retryable(
        "fetch",
        url,
        format!("the server answered HTTP {}", status.as_u16()),
    )
    .into()
}

fn target(response: &Response) -> String {
    let location = response
        .headers()
        .get(LOCATION)
        .and_then(|value| value.to_str().ok());
    let url = location.and_then(|text| response.url().join(text).ok());
    url.as_ref()
        .and_then(Url::host_str)
        .unwrap_or("another address")
        .to_owned()
}
