//! A registry that wants a login, where the engine finds it on its own loopback: there it needs
//! no TLS, and nobody else reaches it.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::{Docker, succeeds, wait};
use crate::keeper::Keeper;

const USER: &str = "robot";
const PASSWORD: &str = "pass-of-the-registry";
/// The same, as `htpasswd -B` writes it.
const HASH: &str = "robot:$2y$04$1aStfQeIpht3GL0.oAWrWuss7q14ldGbaOoDKBNgCe2xGHnQPieQi\n";
const HOST: &str = "127.0.0.1:5000";

/// A running registry. Dropping it ends it.
#[derive(Debug)]
pub struct Registry {
    docker: &'static Docker,
    folder: PathBuf,
    _keeper: Keeper,
}

impl Registry {
    /// The one of the engine that all tests share.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Registry> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(Docker::shared()))
    }

    /// Starts one.
    ///
    /// # Panics
    ///
    /// When Debian's `docker-registry` is not installed, or is not ready within 30 s.
    fn start(docker: &'static Docker) -> Self {
        let is_there = succeeds(Command::new("sh").args(["-c", "command -v docker-registry"]));
        assert!(
            is_there,
            "`docker-registry` is needed (`cargo xtask setup` installs it; by hand on Debian: \
             apt-get install docker-registry)"
        );
        let folder = tempfile::Builder::new()
            .prefix("deployr-registry-")
            .tempdir();
        let folder = folder.expect("a temporary folder can be made").keep();
        let (users, data) = (folder.join("users"), folder.join("data"));
        std::fs::write(&users, HASH).expect("the folder can be written to");
        let config = folder.join("config.yml");
        let text = format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n\
             http: {{addr: '{HOST}'}}\nauth: {{htpasswd: {{realm: test, path: {}}}}}\n",
            data.display(),
            users.display()
        );
        std::fs::write(&config, text).expect("the folder can be written to");
        let first = docker.first().to_string();
        let text = config.to_str().expect("a path in UTF-8");
        let keeper = Keeper::start(
            &folder,
            "TERM",
            None,
            &[
                "nsenter",
                "--target",
                &first,
                "--net",
                "docker-registry",
                "serve",
                text,
            ],
        );
        let registry = Self {
            docker,
            folder,
            _keeper: keeper,
        };
        wait(&registry.folder, "the registry", || {
            let mut login = registry.client();
            login.args(["login", "--username", USER, "--password", PASSWORD, HOST]);
            succeeds(login.stderr(Stdio::null())).then_some(())
        });
        registry
    }

    /// Where it is, as the engine knows it.
    pub fn host(&self) -> &'static str {
        HOST
    }

    /// As whom images are fetched.
    pub fn user(&self) -> &'static str {
        USER
    }

    /// That user's password.
    pub fn password(&self) -> &'static str {
        PASSWORD
    }

    /// Pushes an image of the engine there as `name`, takes it from the engine, and gives what
    /// it is called with its registry.
    ///
    /// # Panics
    ///
    /// When it cannot be pushed.
    pub fn push(&self, image: &str, name: &str) -> String {
        let full = format!("{HOST}/{name}");
        for args in [
            ["tag", image, &full].as_slice(),
            &["push", "--quiet", &full],
            &["rmi", &full],
        ] {
            assert!(succeeds(self.client().args(args)), "docker {args:?}");
        }
        full
    }

    /// The client with this login, which the engine's own does not have.
    fn client(&self) -> Command {
        let mut client = self.docker.client();
        client.env("DOCKER_CONFIG", &self.folder);
        client
    }
}
