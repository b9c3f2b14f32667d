//! Splits an address by hand before [`Url`] sees it: `Url` is built to repair
//! what browsers are given, and a repaired address is not the one checked.

use std::path::Path;

use percent_encoding::percent_decode_str;
use url::{Host, Url};

use super::{InputCode, UrlPolicy, local_url};
use crate::value::address::is_private_host;
use crate::value::chars::is_hidden;

type Refusal = (InputCode, &'static str);

const MAX_BYTES: usize = 2048;

const INVALID: InputCode = InputCode::RepoUrlInvalid;
const NOT_ALLOWED: Refusal = (
    InputCode::RepoUrlScheme,
    "must start with https:// or ssh://, or have the form git@host:path",
);

/// The parts of a remote address, still as written.
struct Parts<'a> {
    scheme: &'static str,
    login: Option<&'a str>,
    host: &'a str,
    port: Option<&'a str>,
    path: &'a str,
}

pub(super) fn parse(input: &str, policy: &UrlPolicy) -> Result<Url, Refusal> {
    let problem = match input {
        "" => Some("must not be empty"),
        _ if input.len() > MAX_BYTES => Some("must not be longer than 2048 bytes"),
        _ if input.starts_with('-') => Some("must not start with '-'"),
        _ if input.chars().any(is_hidden) => Some("must not contain invisible characters"),
        _ => None,
    };
    if let Some(rule) = problem {
        return Err((INVALID, rule));
    }
    if let Some(path) = local_path(input) {
        if !policy.allow_local {
            return Err(NOT_ALLOWED);
        }
        let path = path.map_err(|rule| (INVALID, rule))?;
        return local_url(Path::new(&path)).map_err(|rule| (INVALID, rule));
    }
    let parts = match split_scheme(input)? {
        Some((scheme, rest)) => split_authority(scheme, rest)?,
        None => split_short_form(input)?,
    };
    remote(&parts, input, policy)
}

/// The path when the address is one of this machine.
fn local_path(input: &str) -> Option<Result<String, &'static str>> {
    if input.starts_with('/') {
        return Some(Ok(input.to_owned()));
    }
    let (scheme, rest) = input.split_once("://")?;
    scheme.eq_ignore_ascii_case("file").then(|| {
        percent_decode_str(rest)
            .decode_utf8()
            .map(String::from)
            .map_err(|_| "must be UTF-8 when decoded")
    })
}

fn split_scheme(input: &str) -> Result<Option<(&'static str, &str)>, Refusal> {
    let is_scheme = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    };
    // `helper::address` makes git start a program called git-remote-helper.
    if input
        .split_once("::")
        .is_some_and(|(helper, _)| is_scheme(helper))
    {
        return Err(NOT_ALLOWED);
    }
    match input.split_once("://") {
        Some((scheme, rest)) if is_scheme(scheme) => {
            let scheme = match scheme.to_ascii_lowercase().as_str() {
                "https" => "https",
                "http" => "http",
                "ssh" => "ssh",
                _ => return Err(NOT_ALLOWED),
            };
            Ok(Some((scheme, rest)))
        }
        _ => Ok(None),
    }
}

fn split_authority<'a>(scheme: &'static str, rest: &'a str) -> Result<Parts<'a>, Refusal> {
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (login, host_port) = match authority.rsplit_once('@') {
        Some((login, host)) => (Some(login), host),
        None => (None, authority),
    };
    let colon = match host_port.rfind(']') {
        Some(end) => host_port
            .get(end..)
            .and_then(|tail| tail.find(':'))
            .map(|at| at + end),
        None => host_port.find(':'),
    };
    let (host, port) = match colon.and_then(|at| host_port.split_at_checked(at)) {
        Some((host, port)) => (host, port.strip_prefix(':')),
        None => (host_port, None),
    };
    Ok(Parts {
        scheme,
        login,
        host,
        port,
        path,
    })
}

fn split_short_form(input: &str) -> Result<Parts<'_>, Refusal> {
    let (login, rest) = match input.split_once('@') {
        Some((login, rest)) if !login.contains([':', '/']) => (Some(login), rest),
        _ => (None, input),
    };
    let (host, path) = if rest.starts_with('[') {
        rest.find("]:")
            .and_then(|end| Some((rest.get(..=end)?, rest.get(end + 2..)?)))
    } else {
        rest.split_once(':')
    }
    .ok_or(NOT_ALLOWED)?;
    // Without a login `C:/x`, `file:x` and `data:x` have this form too.
    if host.contains('/') || (login.is_none() && !host.contains('.')) {
        return Err(NOT_ALLOWED);
    }
    // It is no escape here, but would become one in the long form.
    if path.contains('%') {
        return Err((INVALID, "must not contain '%' in the form git@host:path"));
    }
    let path = path.strip_prefix('/').unwrap_or(path);
    Ok(Parts {
        scheme: "ssh",
        login,
        host,
        port: None,
        path,
    })
}

fn remote(parts: &Parts<'_>, input: &str, policy: &UrlPolicy) -> Result<Url, Refusal> {
    let allowed = |c: char| c.is_alphanumeric() || "-._~/:@%+=,[]".contains(c);
    if !input.chars().all(allowed) {
        return Err((
            INVALID,
            "must not contain spaces, quotes or shell characters",
        ));
    }
    let login = match (parts.login, parts.scheme) {
        (None, _) => String::new(),
        (Some(login), "ssh") if !login.contains(':') => checked_login(login)?,
        _ => {
            return Err((
                InputCode::RepoUrlCredentials,
                "must not contain credentials",
            ));
        }
    };
    let host = checked_host(parts.host)?;
    if !policy.allow_private_hosts && is_private_host(&host) {
        return Err((
            InputCode::RepoUrlPrivateHost,
            "must not point into a private network",
        ));
    }
    if parts.scheme == "http" && !policy.allow_plain_http {
        return Err((InputCode::RepoUrlScheme, "must use https://, not http://"));
    }
    let scheme = parts.scheme;
    let port = checked_port(parts)?;
    let path = checked_path(parts)?;
    Url::parse(&format!("{scheme}://{login}{host}{port}/{path}"))
        .map_err(|_| (INVALID, "must be a well formed URL"))
}

fn checked_login(login: &str) -> Result<String, Refusal> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    if login.is_empty() || login.starts_with('-') || !login.chars().all(plain) {
        return Err((INVALID, "must have a plain user name"));
    }
    Ok(format!("{login}@"))
}

fn checked_host(host: &str) -> Result<Host<String>, Refusal> {
    let refusal = (INVALID, "must have a valid host name");
    let name = host.strip_suffix('.').unwrap_or(host);
    if name.is_empty() || name.starts_with('-') || name.contains(['%', ',', '=', '+', '~']) {
        return Err(refusal);
    }
    let too_long = |name: &str| name.len() > 253 || name.split('.').any(|label| label.len() > 63);
    match Host::parse(name) {
        Ok(Host::Domain(name)) if too_long(&name) => Err(refusal),
        // Checked again, because mapping to ASCII may produce either one.
        Ok(Host::Domain(name)) if name.starts_with(['-', '.']) || name.ends_with('.') => {
            Err(refusal)
        }
        Ok(host) => Ok(host),
        Err(_) => Err(refusal),
    }
}

fn checked_port(parts: &Parts<'_>) -> Result<String, Refusal> {
    let Some(text) = parts.port else {
        return Ok(String::new());
    };
    let digits = text.chars().all(|c| c.is_ascii_digit());
    match text.parse::<u16>() {
        Ok(22) if digits && parts.scheme == "ssh" => Ok(String::new()),
        Ok(port) if digits && port != 0 => Ok(format!(":{port}")),
        _ => Err((INVALID, "must have a valid port")),
    }
}

fn checked_path(parts: &Parts<'_>) -> Result<String, Refusal> {
    let path = parts.path.strip_suffix('/').unwrap_or(parts.path);
    let plain = |c: char| c.is_alphanumeric() || " -._~:@+=,".contains(c);
    let mut last = String::new();
    for segment in path.split('/') {
        let Ok(decoded) = percent_decode_str(segment).decode_utf8() else {
            return Err((INVALID, "must be UTF-8 when decoded"));
        };
        if matches!(&*decoded, "" | "." | "..") {
            return Err((INVALID, "must have a path without empty, '.' or '..' parts"));
        }
        // Decoded once more by a server, `%25` would hide any of the others.
        if !decoded.chars().all(|c| plain(c) && !is_hidden(c)) {
            return Err((INVALID, "must not have special characters in its path"));
        }
        last = decoded.into_owned();
    }
    if last.starts_with('-') || last == ".git" {
        return Err((INVALID, "must end in the name of a repository"));
    }
    Ok(path.to_owned())
}
