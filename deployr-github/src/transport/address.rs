use std::net::{IpAddr, SocketAddr};

use deployr_core::error::{Fault, StepError, StepResult};
use deployr_core::value::{GitScheme, GitUrl, is_public_address};

use super::Watch;
use crate::error::refused;

/// The addresses of a repository's server. These, and no others, are connected to:
/// a second look at the name could give something else.
pub(super) async fn resolve(
    url: &GitUrl,
    allow_private: bool,
    watch: &Watch,
) -> StepResult<Vec<SocketAddr>> {
    let host = url.host().unwrap_or_default();
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let port = url.port().unwrap_or(match url.scheme() {
        GitScheme::Ssh => 22,
        GitScheme::Http => 80,
        _ => 443,
    });
    let found = watch
        .run(tokio::net::lookup_host((name, port)))
        .await?
        .map_err(|error| {
            let reason = format!("the host {host} was not found: {error}");
            StepError::from(Fault::retryable("fetch", url, reason))
        })?;
    let found: Vec<_> = found.collect();
    if found.is_empty() {
        return Err(Fault::retryable("fetch", url, format!("{host} has no address")).into());
    }
    // One private address among public ones is refused too: it is never an accident.
    match found
        .iter()
        .find(|address| !allow_private && !is_public_address(address.ip()))
    {
        None => Ok(found),
        Some(address) => Err(private(url, address.ip())),
    }
}

/// The verdict for a server that is not on the public internet.
pub(super) fn private(url: &GitUrl, ip: IpAddr) -> StepError {
    let host = url.host().unwrap_or_default();
    refused(
        url.as_str(),
        format_args!(
            "{host} leads to {ip}, which is not on the public internet; if it is meant to, have \
             the operator switch on `allow_private_hosts`"
        ),
    )
}
