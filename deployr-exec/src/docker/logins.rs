//! As whom images are fetched. Passwords go to the engine in a header of a request; to the
//! programs that take them from a file only, in a folder that is there while they run.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bollard::auth::DockerCredentials;
use deployr_core::error::{Fault, StepResult, Verdict, VerdictCode};
use deployr_core::model::Images;
use deployr_core::value::{EnvSet, RegistryHost};
use serde_json::{Map, json};
use tempfile::TempDir;

/// Where Docker looks for the login at its own registry.
const HUB: &str = "https://index.docker.io/v1/";
/// Below the folder of a target or a builder.
const FOLDER: &str = ".logins";

/// Removes from the folder of a target or a builder the logins of registries that a deployr has
/// left there which died while one of Docker's programs ran. To be called when deployr starts,
/// for all folders, before the engine is asked for anything: it may be away. What `remove_stale`
/// of each removes too.
///
/// # Errors
///
/// A fault when they could not be removed.
pub fn remove_stale_logins(root: &Path) -> StepResult<()> {
    Logins::remove_stale(root)
}

/// The logins of a project.
#[derive(Default)]
pub(super) struct Logins(Vec<(RegistryHost, DockerCredentials)>);

impl Logins {
    /// Those of a recipe, with the passwords that the project's variables have.
    pub(super) fn of(images: &Images, env: &EnvSet) -> Result<Self, Verdict> {
        let logins = images.logins.iter().map(|(host, login)| {
            let password = env.get(login.password.as_str()).ok_or_else(|| {
                let name = &login.password;
                let message = format!(
                    "images.logins says that the password for {host} is in the variable {name}, \
                     which the project does not have; set it: deployr env set <project> {name}=…"
                );
                Verdict::new(VerdictCode::ConfigInvalid, message)
            })?;
            let credentials = DockerCredentials {
                username: Some(login.username.to_string()),
                password: Some(password.expose().to_owned()),
                serveraddress: Some(server(host)),
                ..DockerCredentials::default()
            };
            Ok((host.clone(), credentials))
        });
        Ok(Self(logins.collect::<Result<_, Verdict>>()?))
    }

    /// As whom an image of that name is fetched.
    pub(super) fn for_image(&self, image: &str) -> Option<DockerCredentials> {
        let mut all = self.0.iter();
        let found = all.find(|(host, _)| host.has(image));
        found.map(|(_, credentials)| credentials.clone())
    }

    /// All of them, as a build is given them.
    pub(super) fn all(&self) -> Option<HashMap<String, DockerCredentials>> {
        let all = self.0.iter();
        let all = all.map(|(host, login)| (server(host), login.clone()));
        (!self.0.is_empty()).then(|| all.collect())
    }

    #[cfg(feature = "compose")]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Settings of Docker's programs with these logins, which nobody else can read; with its
    /// plugins, if people have some of their own. Gone when this is dropped.
    pub(super) fn settings(&self, root: &Path) -> StepResult<TempDir> {
        let folder = root.join(FOLDER);
        let write = || -> io::Result<TempDir> {
            let made = DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&folder);
            made?;
            let settings = tempfile::Builder::new().tempdir_in(&folder)?;
            if let Some(plugins) = plugins() {
                symlink(plugins, settings.path().join("cli-plugins"))?;
            }
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(settings.path().join("config.json"))?;
            let auths: Map<_, _> = self.0.iter().filter_map(entry).collect();
            file.write_all(json!({ "auths": auths }).to_string().as_bytes())?;
            Ok(settings)
        };
        Ok(write().map_err(|error| Fault::io("writing logins to", folder.display(), error))?)
    }

    /// Removes what a deployr has left that was killed while a program ran.
    pub(super) fn remove_stale(root: &Path) -> StepResult<()> {
        let folder = root.join(FOLDER);
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(Fault::io("removing", folder.display(), error).into())
            }
            _ => Ok(()),
        }
    }
}

fn entry((host, login): &(RegistryHost, DockerCredentials)) -> Option<(String, serde_json::Value)> {
    let (name, password) = (login.username.as_ref()?, login.password.as_ref()?);
    let both = STANDARD.encode(format!("{name}:{password}"));
    Some((server(host), json!({ "auth": both })))
}

fn server(host: &RegistryHost) -> String {
    match host.as_str() {
        "docker.io" => HUB.to_owned(),
        other => other.to_owned(),
    }
}

/// Where people have put plugins for themselves.
fn plugins() -> Option<PathBuf> {
    let own = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    let own = own.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".docker")))?;
    let plugins = own.join("cli-plugins");
    plugins.is_dir().then_some(plugins)
}
