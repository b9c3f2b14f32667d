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
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

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

/// Tells the app who asked, and for what. What the peer says of those before it holds
/// where it is trusted, and else is taken out: anybody could have written it.
pub(super) fn set_forwarded(
    headers: &mut HeaderMap,
    peer: SocketAddr,
    host: &Authority,
    is_trusted: bool,
) {
    if !is_trusted {
        let told: Vec<HeaderName> = headers
            .keys()
            .filter(|name| is_forwarded(name))
            .cloned()
            .collect();
        for name in told {
            headers.remove(name);
        }
    }
    let peer = peer.ip().to_canonical();
    extend(headers, FORWARDED_FOR, &peer.to_string());
    if headers.contains_key(header::FORWARDED) {
        let node = if peer.is_ipv6() {
            format!("\"[{peer}]\"")
        } else {
            peer.to_string()
        };
        extend(
            headers,
            header::FORWARDED,
            &format!("for={node};host=\"{host}\";proto=http"),
        );
    } else {
        headers
            .entry(FORWARDED_PROTO)
            .or_insert(HeaderValue::from_static("http"));
    }
    if let Ok(host) = HeaderValue::from_str(host.as_str()) {
        headers
            .entry(FORWARDED_HOST)
            .or_insert_with(|| host.clone());
        headers.insert(header::HOST, host);
    }
}

/// Whether a header tells of the way that a request has come.
fn is_forwarded(name: &HeaderName) -> bool {
    name.as_str().starts_with("x-forwarded-") || [header::FORWARDED, REAL_IP].contains(name)
}

/// Adds an element to a list, and makes it one header.
fn extend(headers: &mut HeaderMap, name: HeaderName, element: &str) {
    let earlier = headers.get_all(&name).into_iter();
    let mut list: Vec<&str> = earlier.filter_map(|value| value.to_str().ok()).collect();
    list.push(element);
    if let Ok(list) = HeaderValue::try_from(list.join(", ")) {
        headers.insert(name, list);
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

/// Which site a host name means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Site {
    Project(Slug),
    /// Below the domain, but no name that a project can have.
    Unknown,
    /// Not below the domain: a project's own, or the server itself.
    Other(String),
}

pub(super) fn site(host: &Authority, domain: &str) -> Site {
    let name = host.host().trim_end_matches('.').to_ascii_lowercase();
    match name
        .strip_suffix(domain)
        .and_then(|name| name.strip_suffix('.'))
    {
        Some(label) => Slug::parse(label).map_or(Site::Unknown, Site::Project),
        None => Site::Other(name),
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
        for (host, name) in [
            ("localhost", "localhost"),
            ("ShopLocalhost", "shoplocalhost"),
            ("[::1]:80", "[::1]"),
            ("Shop.Example.com.:80", "shop.example.com"),
        ] {
            assert_eq!(site_of(host), Site::Other(name.into()));
        }
    }

    /// What an app gets to see of the way, for headers that the peer has sent.
    fn seen(sent: &[(&'static str, &str)], peer: &str, is_trusted: bool) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            headers.append(*name, value.parse().unwrap());
        }
        let host = Authority::from_static("shop.localhost:80");
        set_forwarded(&mut headers, peer.parse().unwrap(), &host, is_trusted);
        let told = headers.iter().filter(|(name, _)| is_forwarded(name));
        let mut lines: Vec<String> = told
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        lines.sort();
        lines
    }

    const TOLD: &[(&str, &str)] = &[
        ("x-forwarded-for", "203.0.113.9"),
        ("x-forwarded-for", "198.51.100.7"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "shop.example.com"),
        ("x-forwarded-port", "443"),
        ("x-real-ip", "203.0.113.9"),
        ("forwarded", "for=203.0.113.9;proto=https"),
    ];

    #[test]
    fn what_a_trusted_peer_tells_is_kept_and_made_longer() {
        assert_eq!(
            seen(TOLD, "[::ffff:127.0.0.1]:9", true),
            [
                "forwarded: for=203.0.113.9;proto=https, for=127.0.0.1;host=\"shop.localhost:80\";proto=http",
                "x-forwarded-for: 203.0.113.9, 198.51.100.7, 127.0.0.1",
                "x-forwarded-host: shop.example.com",
                "x-forwarded-port: 443",
                "x-forwarded-proto: https",
                "x-real-ip: 203.0.113.9",
            ]
        );
        // Nothing is said that would contradict the only thing which it says.
        assert_eq!(
            seen(&[("forwarded", "proto=https")], "[::1]:9", true),
            [
                "forwarded: proto=https, for=\"[::1]\";host=\"shop.localhost:80\";proto=http",
                "x-forwarded-for: ::1",
                "x-forwarded-host: shop.localhost:80",
            ]
        );
    }

    #[test]
    fn what_others_tell_is_replaced() {
        let plain = [
            "x-forwarded-for: 192.0.2.1",
            "x-forwarded-host: shop.localhost:80",
            "x-forwarded-proto: http",
        ];
        assert_eq!(seen(TOLD, "192.0.2.1:9", false), plain);
        assert_eq!(seen(&[], "192.0.2.1:9", false), plain);
        assert_eq!(seen(&[], "192.0.2.1:9", true), plain);
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
