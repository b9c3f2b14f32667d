//! What says how images are built, and where they come from.

use serde::{Deserialize, Serialize};

use super::{DomainName, EnvName, InputCode, InvalidValue};

const MAX_ARG_BYTES: usize = 16 * 1024;
const MAX_USER_BYTES: usize = 256;

/// The name of an argument of a Dockerfile.
///
/// Those that begin with `BUILDKIT_` tell the builder what to do, and not the Dockerfile: they
/// are refused, as one of them would open the caches of other projects.
///
/// ```
/// use deployr_core::value::BuildArgName;
///
/// assert!(BuildArgName::parse("NODE_ENV").is_ok());
/// assert!(BuildArgName::parse("BUILDKIT_CACHE_MOUNT_NS").is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BuildArgName(String);

string_value!(BuildArgName);

impl BuildArgName {
    /// Parses a name: that of a variable, save for `BUILDKIT_` in front, in any case.
    pub fn parse(input: impl AsRef<str>) -> Result<Self, InvalidValue> {
        let name = EnvName::parse(&input)?;
        if Self::is_for_builder(name.as_str()) {
            let rule = "must not start with BUILDKIT_: such arguments are the builder's own";
            let code = InputCode::EnvKeyReserved;
            return Err(InvalidValue::new("build_arg", code, rule, name.as_str()));
        }
        Ok(Self(name.into()))
    }

    /// Whether an argument of that name tells the builder what to do, and not the Dockerfile.
    ///
    /// ```
    /// use deployr_core::value::BuildArgName;
    ///
    /// assert!(BuildArgName::is_for_builder("buildkit_cache_mount_ns"));
    /// assert!(!BuildArgName::is_for_builder("BUILDKIT"));
    /// ```
    #[must_use]
    pub fn is_for_builder(name: &str) -> bool {
        const BUILDER: &[u8] = b"BUILDKIT_";
        let prefix = name.as_bytes().get(..BUILDER.len());
        prefix.is_some_and(|prefix| prefix.eq_ignore_ascii_case(BUILDER))
    }
}

/// The value of an argument of a Dockerfile: any text of up to 16 KiB without NUL, which is
/// given to the build byte for byte, and stays in the image.
///
/// ```
/// use deployr_core::value::BuildArg;
///
/// assert_eq!(BuildArg::parse(" a\n$B ")?.as_str(), " a\n$B ");
/// assert!(BuildArg::parse("a\0").is_err());
/// # Ok::<(), deployr_core::value::InvalidValue>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BuildArg(String);

string_value!(BuildArg);

impl BuildArg {
    /// Parses a value.
    pub fn parse(input: impl AsRef<str>) -> Result<Self, InvalidValue> {
        let input = input.as_ref();
        let (code, rule) = match input.len() {
            ..=MAX_ARG_BYTES if !input.contains('\0') => return Ok(Self(input.to_owned())),
            ..=MAX_ARG_BYTES => (InputCode::EnvValueInvalid, "must not contain NUL"),
            _ => (
                InputCode::EnvValueTooLarge,
                "must not be larger than 16 KiB",
            ),
        };
        // People give tokens to builds.
        Err(InvalidValue::hidden("build_arg", code, rule, input.len()))
    }
}

/// Where images are fetched from: the host of a registry, with its port where that is not
/// the usual one. Docker's own is `docker.io`.
///
/// ```
/// use deployr_core::value::RegistryHost;
///
/// assert_eq!(RegistryHost::parse("GHCR.io")?.as_str(), "ghcr.io");
/// assert!(RegistryHost::parse("localhost:5000").is_ok());
/// assert!(RegistryHost::parse("https://ghcr.io").is_err());
/// # Ok::<(), deployr_core::value::InvalidValue>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RegistryHost(String);

string_value!(RegistryHost);

impl RegistryHost {
    /// Parses a host with or without a port; a name in any case, or an IPv4 address.
    pub fn parse(input: impl AsRef<str>) -> Result<Self, InvalidValue> {
        let input = input.as_ref();
        let (host, port) = match input.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (input, None),
        };
        let is_port = |port: &str| {
            port.bytes().all(|byte| byte.is_ascii_digit()) && matches!(port.parse::<u16>(), Ok(1..))
        };
        let is_host = !host.ends_with('.')
            && (host.parse::<std::net::Ipv4Addr>().is_ok() || DomainName::parse(host).is_ok());
        if !is_host || !port.is_none_or(is_port) {
            let rule = "must be the host of a registry, as ghcr.io or registry.example.com:5000";
            let code = InputCode::DomainInvalid;
            return Err(InvalidValue::new("registry", code, rule, input));
        }
        Ok(Self(input.to_ascii_lowercase()))
    }

    /// Whether an image of that name is fetched from here: Docker takes what is before the
    /// first `/` for a host where it has a `.` or a `:` in it, or is `localhost`.
    #[must_use]
    pub fn has(&self, image: &str) -> bool {
        let first = image.split_once('/').map_or("", |(first, _)| first);
        let is_host = first.contains(['.', ':']) || first == "localhost";
        let host = if is_host { first } else { "docker.io" };
        self.0.eq_ignore_ascii_case(host)
    }
}

/// As whom somebody logs in: up to 256 characters, without `:` and control characters, as
/// HTTP has it.
///
/// ```
/// use deployr_core::value::LoginName;
///
/// assert!(LoginName::parse("robot$acme+pull").is_ok());
/// assert!(LoginName::parse("a:b").is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LoginName(String);

string_value!(LoginName);

impl LoginName {
    /// Parses a name.
    pub fn parse(input: impl AsRef<str>) -> Result<Self, InvalidValue> {
        let input = input.as_ref();
        let odd = |c: char| c == ':' || c.is_control();
        if input.is_empty() || input.len() > MAX_USER_BYTES || input.contains(odd) {
            let rule = "must have 1 to 256 characters, none of them ':' or a control character";
            let code = InputCode::LabelInvalid;
            return Err(InvalidValue::new("username", code, rule, input));
        }
        Ok(Self(input.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_fetched_from_the_host_that_docker_would_ask() {
        for (image, host) in [
            ("node:22", "docker.io"),
            ("acme/app", "docker.io"),
            ("docker.io/library/node", "docker.io"),
            ("ghcr.io/acme/app@sha256:00", "ghcr.io"),
            ("localhost/app", "localhost"),
            ("localhost:5000/app", "localhost:5000"),
            ("10.1.2.3:80/app", "10.1.2.3:80"),
        ] {
            assert!(RegistryHost::parse(host).unwrap().has(image), "{image}");
            assert!(!RegistryHost::parse("x.io").unwrap().has(image), "{image}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in [
            "", "a/b", "a:", "a:0", "a:x", "a:+1", "a:70000", "u@a", "-a", "a b", "a:1:2",
        ] {
            assert!(RegistryHost::parse(text).is_err(), "{text}");
        }
    }
}
