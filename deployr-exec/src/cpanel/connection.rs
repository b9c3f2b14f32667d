//! The way to a host: HTTPS, with its certificate checked.

use std::path::Path;
use std::time::Duration;

use chrono::DateTime;
use deployr_core::error::Fault;
use reqwest::header::DATE;
use reqwest::{Certificate, Client as Http, Response, redirect};

const USER_AGENT: &str = concat!("deployr/", env!("CARGO_PKG_VERSION"));

/// A client that believes what the system does, and the authority of that file.
pub(super) fn http(
    certificate: Option<&Path>,
    with: impl FnOnce(reqwest::ClientBuilder) -> reqwest::ClientBuilder,
) -> Result<Http, Fault> {
    let mut builder = Http::builder()
        .user_agent(USER_AGENT)
        .no_proxy()
        .referer(false)
        .connect_timeout(Duration::from_secs(20))
        .redirect(redirect::Policy::none());
    if let Some(path) = certificate {
        let text = std::fs::read(path).map_err(|error| Fault::io("read", path.display(), error))?;
        let more = Certificate::from_pem_bundle(&text)
            .map_err(|error| Fault::permanent("read", path.display(), chain(&error)))?;
        builder = builder.tls_certs_merge(more);
    }
    with(builder)
        .build()
        .map_err(|error| Fault::permanent("set up", "TLS", chain(&error)))
}

pub(super) fn bracketed(host: &str) -> String {
    match host.contains(':') {
        true => format!("[{host}]"),
        false => host.to_owned(),
    }
}

/// What the time is by the host's clock, in seconds since 1970.
pub(super) fn time_of(response: &Response) -> Option<i64> {
    let date = response.headers().get(DATE)?.to_str().ok()?;
    let date = DateTime::parse_from_rfc2822(date).ok()?;
    Some(date.timestamp())
}

pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    text
}
