use std::net::IpAddr;
use std::sync::Arc;

use deployr_core::error::{Fault, StepResult};
use deployr_core::value::{GitUrl, is_public_address};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};

use super::address;
use crate::error::chain;

/// The proxies through which repositories over `https://` and `http://` are fetched.
/// Those over `ssh://` never are.
///
/// ```
/// use deployr_github::{GitSource, Proxies};
///
/// let git = GitSource::new("/var/lib/deployr/mirrors").proxies(Proxies::from_env());
/// let proxies = Proxies::all("http://proxy.example.com:3128", "git.lan, 10.0.0.0/8");
/// let git = git.proxies(proxies);
/// # let _ = git;
/// ```
#[derive(Debug, Clone)]
pub struct Proxies(Arc<Matcher>);

impl Proxies {
    /// As the variables `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` say now,
    /// in upper or lower case, by the rules of curl. None where they are not set.
    #[must_use]
    pub fn from_env() -> Self {
        Self(Arc::new(Matcher::from_env()))
    }

    /// `proxy`, an address that may hold a name and a password, for all servers but
    /// those in `except`, which is written as `NO_PROXY` is.
    #[must_use]
    pub fn all(proxy: &str, except: &str) -> Self {
        Self(Arc::new(Matcher::builder().all(proxy).no(except).build()))
    }

    /// The proxy on the way to a repository.
    pub(super) fn on_the_way_to(&self, url: &GitUrl) -> Option<Proxy> {
        let url = url.as_str().parse().ok()?;
        self.0.intercept(&url).map(Proxy)
    }
}

/// One proxy.
#[derive(Debug, Clone)]
pub(super) struct Proxy(Intercept);

impl Proxy {
    /// Whether `url` may be asked for. Behind a proxy it is the proxy that looks names
    /// up, and that has to refuse those which lead inside; addresses are seen here.
    pub(super) fn check(&self, url: &GitUrl, allow_private: bool) -> StepResult<()> {
        let host = url.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        match host.parse::<IpAddr>() {
            Ok(ip) if !allow_private && !is_public_address(ip) => Err(address::private(url, ip)),
            _ => Ok(()),
        }
    }

    /// For the client of one fetch.
    pub(super) fn for_client(&self, url: &GitUrl) -> StepResult<reqwest::Proxy> {
        let shown = self.shown();
        if !matches!(self.0.uri().scheme_str(), Some("http" | "https")) {
            let reason = format!(
                "the proxy {shown} is of a kind that is not supported; use one at an http:// or \
                 https:// address"
            );
            return Err(Fault::permanent("fetch", url, reason).into());
        }
        let proxy = reqwest::Proxy::all(self.0.uri().to_string())
            .map_err(|error| Fault::permanent("fetch", url, chain(&error)))?;
        Ok(match self.0.basic_auth() {
            Some(header) => proxy.custom_http_auth(header.clone()),
            None => proxy,
        })
    }

    /// Its address, without its credentials.
    pub(super) fn shown(&self) -> String {
        self.0.uri().to_string().trim_end_matches('/').to_owned()
    }
}
