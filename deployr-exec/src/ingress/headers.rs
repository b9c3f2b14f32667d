//! What a proxy must take from and add to headers, and the pages that it answers with.

use std::net::SocketAddr;

use deployr_core::value::Slug;
use http::header::{self, HeaderName, HeaderValue};
use http::uri::Authority;
use http::{HeaderMap, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full};

use super::backend::Body;

pub(super) const RELEASE: HeaderName = HeaderName::from_static("x-deployr-release");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// They speak of one connection, not of the message.
const HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

pub(super) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let listed: Vec<HeaderName> = connection_options(headers)
        .filter_map(|name| name.parse().ok())
        .collect();
    for name in listed.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// The protocol to which the message asks to switch, or does.
pub(super) fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let protocol = headers.get(header::UPGRADE)?;
    connection_options(headers)
        .any(|option| option.eq_ignore_ascii_case("upgrade"))
        .then(|| protocol.clone())
}

pub(super) fn set_upgrade(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, protocol);
}

fn connection_options(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(header::CONNECTION).into_iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
}

/// Tells the app who asked, and for what.
pub(super) fn set_forwarded(headers: &mut HeaderMap, peer: SocketAddr, host: &Authority) {
    let peer = peer.ip().to_canonical().to_string();
    let earlier = headers.get_all(FORWARDED_FOR).into_iter();
    let mut hops: Vec<&str> = earlier.filter_map(|value| value.to_str().ok()).collect();
    hops.push(&peer);
    if let Ok(hops) = HeaderValue::try_from(hops.join(", ")) {
        headers.insert(FORWARDED_FOR, hops);
    }
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
    if let Ok(host) = HeaderValue::from_str(host.as_str()) {
        headers.insert(FORWARDED_HOST, host.clone());
        headers.insert(header::HOST, host);
    }
}

/// The host that a request is for. None when it names none, several, or no host.
pub(super) fn host<B>(request: &Request<B>) -> Option<Authority> {
    let mut named = request.headers().get_all(header::HOST).iter();
    let header = named.next();
    if named.next().is_some() || (header.is_none() && request.version() == Version::HTTP_11) {
        return None;
    }
    // Where both are given, the one in the request line is meant (RFC 9112, 3.2.2).
    let authority = match request.uri().authority() {
        Some(authority) => authority.clone(),
        None => Authority::try_from(header?.as_bytes()).ok()?,
    };
    (!authority.host().is_empty() && !authority.as_str().contains('@')).then_some(authority)
}

/// Whom a host name means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Site {
    Project(Slug),
    /// Below the domain, but no name that a project can have.
    Unknown,
    /// Not below the domain: the server itself.
    Server,
}

pub(super) fn site(host: &Authority, domain: &str) -> Site {
    let name = host.host().trim_end_matches('.').to_ascii_lowercase();
    match name
        .strip_suffix(domain)
        .and_then(|name| name.strip_suffix('.'))
    {
        Some(label) => Slug::parse(label).map_or(Site::Unknown, Site::Project),
        None => Site::Server,
    }
}

/// A short page that says why there is no other.
pub(super) fn page(status: StatusCode, text: &'static str) -> Response<Body> {
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    content(status, kind, format!("{text}\n"))
}

pub(super) fn content(status: StatusCode, kind: HeaderValue, text: String) -> Response<Body> {
    let mut response = Response::new(Full::from(text).map_err(|e| match e {}).boxed_unsync());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site_of(host: &str) -> Site {
        site(&Authority::try_from(host).unwrap(), "localhost")
    }

    #[test]
    fn hosts_are_told_apart() {
        let shop = Site::Project(Slug::parse("shop").unwrap());
        assert_eq!(site_of("shop.localhost"), shop);
        assert_eq!(site_of("SHOP.LocalHost:8080"), shop);
        assert_eq!(site_of("shop.localhost."), shop);
        assert_eq!(site_of("a.shop.localhost"), Site::Unknown);
        assert_eq!(site_of(".localhost"), Site::Unknown);
        assert_eq!(site_of("localhost"), Site::Server);
        assert_eq!(site_of("shoplocalhost"), Site::Server);
        assert_eq!(site_of("[::1]:80"), Site::Server);
    }

    #[test]
    fn headers_of_the_connection_go() {
        let mut headers = HeaderMap::new();
        headers.append(
            header::CONNECTION,
            HeaderValue::from_static("close, X-Secret"),
        );
        headers.append(header::CONNECTION, HeaderValue::from_static("te"));
        headers.insert("x-secret", HeaderValue::from_static("1"));
        headers.insert("keep-alive", HeaderValue::from_static("timeout=5"));
        headers.insert("x-kept", HeaderValue::from_static("1"));
        strip_hop_by_hop(&mut headers);
        assert_eq!(
            headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(),
            ["x-kept"]
        );
    }
}
