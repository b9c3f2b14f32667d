use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::value::{BuildArg, BuildArgName, EnvName, EnvSet, LoginName, RegistryHost};

/// What the images of a project need to be built and fetched, beside the Dockerfile.
///
/// ```
/// use deployr_core::model::Images;
///
/// let images: Images = serde_json::from_str(
///     r#"{"logins": {"ghcr.io": {"username": "bot", "password": "GHCR_TOKEN"}}}"#,
/// )?;
/// assert!(images.is_password("GHCR_TOKEN"));
/// assert!(!images.is_password("PATH"));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Images {
    /// The builder is BuildKit; so it is where there are `secrets`, which no other has.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub buildkit: bool,
    /// What the Dockerfile's `ARG`s are. They stay in the image.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub args: BTreeMap<BuildArgName, BuildArg>,
    /// Variables of the project that steps of the Dockerfile may mount, each a file under its
    /// name as the secret's `id`. They stay nowhere.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<EnvName>,
    /// As whom images are fetched.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub logins: BTreeMap<RegistryHost, Login>,
}

/// A login at a registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// As whom.
    pub username: LoginName,
    /// The variable of the project that has the password, or the token. Neither builds nor
    /// releases are given it.
    pub password: EnvName,
}

impl Images {
    /// Whether nothing is said.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// Whether only BuildKit can build what is wanted.
    #[must_use]
    pub fn needs_buildkit(&self) -> bool {
        self.buildkit || !self.secrets.is_empty()
    }

    /// Whether a variable is the password of a login, which nothing of the project is given.
    #[must_use]
    pub fn is_password(&self, variable: &str) -> bool {
        let mut logins = self.logins.values();
        logins.any(|login| login.password.as_str() == variable)
    }

    /// What of a project's variables its builds and releases are given.
    #[must_use]
    pub fn without_passwords(&self, env: &EnvSet) -> EnvSet {
        let mut env = env.clone();
        for login in self.logins.values() {
            env.remove(login.password.as_str());
        }
        env
    }
}
