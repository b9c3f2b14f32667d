use std::path::{Path, PathBuf};

use deployr_core::value::{EnvName, EnvSet};

/// The variable by which all processes of a build are found again. The project
/// cannot set it, for its prefix is reserved.
pub(super) const MARKER: &str = "DEPLOYR_BUILD";

/// The way out of the network that the host is in.
const PROXIES: &[&str] = &[
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
];
/// Files and folders with the certificates of whoever is trusted beside the system's.
const CERTIFICATES: &[&str] = &[
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CARGO_HTTP_CAINFO",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "NODE_EXTRA_CA_CERTS",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "npm_config_cafile",
    "NPM_CONFIG_CAFILE",
];
/// Where packages come from instead.
const MIRRORS: &[&str] = &[
    "GOPROXY",
    "PIP_INDEX_URL",
    "UV_DEFAULT_INDEX",
    "YARN_NPM_REGISTRY_SERVER",
    "npm_config_registry",
    "NPM_CONFIG_REGISTRY",
];

/// What a build cannot know by itself of the network that the host is in.
pub(crate) fn network_variables() -> Vec<&'static str> {
    [PROXIES, CERTIFICATES, MIRRORS].concat()
}

/// Those of the engine's variables that builds get, and the files that they name.
#[derive(Debug, Default)]
pub(crate) struct Passed {
    variables: Vec<(String, String)>,
    pub(crate) files: Vec<PathBuf>,
}

impl Passed {
    /// Variables of these names, as far as they are set. None of the engine's own: they
    /// hold its keys.
    pub(crate) fn from_env(names: &[String]) -> Self {
        Self::from(names, |name| std::env::var(name).ok())
    }

    fn from(names: &[String], value_of: impl Fn(&str) -> Option<String>) -> Self {
        let mut passed = Self::default();
        for name in names.iter().filter(|name| EnvName::parse(name).is_ok()) {
            let Some(value) = value_of(name) else {
                continue;
            };
            if CERTIFICATES.contains(&name.as_str()) {
                passed.files.extend(std::env::split_paths(&value));
            }
            passed.variables.push((name.clone(), value));
        }
        passed
    }
}

/// Everything that a build's processes get; of the engine's own environment only `PATH`
/// and what is passed on.
pub(crate) fn environment(
    marker: &str,
    path: String,
    workspace: &Path,
    cache: &Path,
    passed: Passed,
    project: &EnvSet,
) -> Vec<(String, String)> {
    let of = |dir: &Path, name: &str| dir.join(name).to_string_lossy().into_owned();
    let base = [
        ("PATH", path),
        ("HOME", of(workspace, "home")),
        ("TMPDIR", of(workspace, "tmp")),
        ("LANG", "C.UTF-8".to_owned()),
        ("CI", "1".to_owned()),
        ("DEPLOYR", "1".to_owned()),
        ("XDG_CACHE_HOME", of(cache, "xdg")),
        ("npm_config_cache", of(cache, "npm")),
        ("PNPM_HOME", of(cache, "pnpm")),
        ("npm_config_update_notifier", "false".to_owned()),
        // Most projects set NODE_ENV=production, and most builds need what npm then
        // leaves out.
        ("npm_config_include", "dev".to_owned()),
        ("YARN_CACHE_FOLDER", of(cache, "yarn")),
        ("COMPOSER_CACHE_DIR", of(cache, "composer")),
        ("COMPOSER_ALLOW_SUPERUSER", "1".to_owned()),
        ("CARGO_HOME", of(cache, "cargo")),
        ("GOMODCACHE", of(cache, "go")),
    ];
    let base = base
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value));
    let project = project
        .iter()
        .map(|(name, value)| (name.to_string(), value.expose().to_owned()));
    // Later ones win.
    base.chain(passed.variables)
        .chain(project)
        .chain([(MARKER.to_owned(), marker.to_owned())])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_engines_own_is_passed() {
        let names = [
            "NO_PROXY",
            "DEPLOYR_KEYS",
            "deployr_x",
            "SSL_CERT_DIR",
            "A=B",
        ];
        let set = |name: &str| (name != "NO_PROXY").then(|| "/a:/b".to_owned());
        let passed = Passed::from(&names.map(str::to_owned), set);
        let given: Vec<&str> = passed
            .variables
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(given, ["SSL_CERT_DIR"]);
        assert_eq!(passed.files, ["/a", "/b"].map(PathBuf::from));
    }

    #[test]
    fn the_project_wins_over_what_is_passed_and_that_over_the_defaults() {
        let names = ["CI", "NO_PROXY", "PIP_CERT"].map(str::to_owned);
        let passed = Passed::from(&names, |_| Some("of the engine".to_owned()));
        let mut project = EnvSet::new();
        for name in ["PIP_CERT", "HOME"] {
            let value = deployr_core::value::EnvValue::parse("of the project").unwrap();
            project
                .insert(EnvName::parse(name).unwrap(), value)
                .unwrap();
        }
        let all = environment(
            "m",
            "/bin".into(),
            "/w".as_ref(),
            "/c".as_ref(),
            passed,
            &project,
        );
        let last = |wanted: &str| {
            let found = all.iter().rev().find(|(name, _)| name == wanted);
            found.map(|(_, value)| value.as_str())
        };
        assert_eq!(last("NO_PROXY"), Some("of the engine"));
        assert_eq!(last("CI"), Some("of the engine"));
        assert_eq!(last("PIP_CERT"), Some("of the project"));
        assert_eq!(last("HOME"), Some("of the project"));
        assert_eq!(last("PATH"), Some("/bin"));
    }
}
