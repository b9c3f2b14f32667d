//! Releases on servers, over SSH: anything with an `sshd` and a POSIX shell.
//!
//! ```text
//! <root>/<project>/releases/<number>-<commit>/   each release, with `.deployr-release`
//! <root>/<project>/shared/                       what all releases share; linked into each
//! <root>/<project>/current                       link to the present release
//! <root>/<project>/turn                          the latest deployment that has switched
//! <root>/<project>/run/<number>/                 the process of a release, its port and log
//! <root>/<project>/run/<number>.<name>/          a worker of it, and its log
//! <root>/<project>/jobs/<deployment>-<name>/     commands that ran on the host, their logs
//! ```
//!
//! A host keeps nothing of ours but that: what it runs are the scripts of `host/`, which
//! are sent with each call. What they are given is quoted in one place (`quote.rs`);
//! secrets go over stdin.
//!
//! Processes outlive connections and the engine: a supervisor on the host, a shell in a
//! session of its own, starts the present release again when it ends. After a restart of
//! the host, [`Engine::restore`](deployr_core::engine::Engine::restore) brings them up.

mod call;
mod clear;
mod config;
mod doctor;
mod env;
mod host;
mod job;
mod php;
mod plan;
mod quote;
mod release;
mod remove;
mod script;
mod session;
mod steps;
mod switch;
mod target;
mod upload;
mod verify;
mod workers;

use std::sync::Arc;
use std::time::Duration;

use deployr_core::command::Command;

use host::Host;
use session::Session;

pub use crate::remote::Finding;
pub use php::Php;
pub use target::{InvalidTarget, Role, SshJump, SshTarget};

const PATIENCE: Duration = Duration::from_secs(60);

/// One or several hosts as a target. Cheap to clone; clones share their connections.
///
/// Of several hosts all have the same release: nothing is switched before all have said
/// that they can, and where one fails then, the others are switched back.
///
/// Releases that are processes need a Linux host with `setsid`. They run as the user that
/// logs in, and are **not confined**: give each project that is not trusted a user, and so a
/// target, of its own.
///
/// ```no_run
/// use deployr_core::command::Command;
/// use deployr_core::engine::Engine;
/// use deployr_exec::ssh::{SshExecutor, SshTarget};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut web = SshTarget::new("web-1.example.com", "/srv/sites")?;
/// web.user = Some("deploy".to_owned());
/// web.host_key = Some("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI…".to_owned());
/// # web.host_key = None;
/// let reload = Command::new("sudo").arg("-n").arg("systemctl").arg("reload").arg("php8.2-fpm");
/// let executor = SshExecutor::new(web)?.after_switch(reload);
/// let parts = Engine::builder().executor("web", std::sync::Arc::new(executor));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct SshExecutor {
    hosts: Arc<[Arc<Host>]>,
    php: Option<Php>,
    rolling: bool,
    before_switch: Arc<[Command]>,
    after_switch: Arc<[Command]>,
}

impl SshExecutor {
    /// One host.
    ///
    /// # Errors
    ///
    /// The setting that cannot be what it says.
    pub fn new(target: SshTarget) -> Result<Self, InvalidTarget> {
        Self::with_hosts([target])
    }

    /// Several hosts that always have the same release.
    ///
    /// # Errors
    ///
    /// The setting that cannot be what it says; no host at all.
    pub fn with_hosts(targets: impl IntoIterator<Item = SshTarget>) -> Result<Self, InvalidTarget> {
        let targets: Vec<_> = targets.into_iter().collect();
        for target in &targets {
            target.check()?;
        }
        if targets.is_empty() {
            return Err(InvalidTarget {
                field: "hosts",
                rule: "there must be one at least",
            });
        }
        if !targets.iter().any(|target| target.is_for(Role::Web)) {
            return Err(InvalidTarget {
                field: "roles",
                rule: "one host at least must have the role `web`",
            });
        }
        Ok(Self {
            hosts: hosts(targets, PATIENCE),
            php: None,
            rolling: false,
            before_switch: Arc::new([]),
            after_switch: Arc::new([]),
        })
    }

    /// How long a host may take to answer a call, 60 s where nothing is said: after that
    /// the call is a fault that may pass. Uploads and hooks may take longer, as long as the
    /// host answers at all.
    #[must_use]
    pub fn patience(self, patience: Duration) -> Self {
        let targets = self.hosts.iter().map(|host| host.session.target().clone());
        Self {
            hosts: hosts(targets.collect(), patience),
            ..self
        }
    }

    /// Says that the web servers of the hosts run PHP: a release that has a
    /// [`web_root`](deployr_core::model::OnTarget::web_root) needs no process there.
    ///
    /// # Errors
    ///
    /// Where a host that answers requests has no [`web_server`](SshTarget::web_server):
    /// nothing else can show that the new code is what answers.
    pub fn php(mut self, php: Php) -> Result<Self, InvalidTarget> {
        let asked = |host: &Arc<Host>| {
            let target = host.session.target();
            target.web_server.is_some() || !target.is_for(Role::Web)
        };
        if !self.hosts.iter().all(asked) {
            return Err(InvalidTarget {
                field: "web_server",
                rule: "each host whose web server runs PHP must say where that answers",
            });
        }
        self.php = Some(php);
        Ok(self)
    }

    /// Switches one host after the other instead of all at once; where it runs PHP, each once
    /// the one before has been shown to answer with the new release.
    #[must_use]
    pub fn rolling(self, rolling: bool) -> Self {
        Self { rolling, ..self }
    }

    /// Adds a command that each host runs in the release's folder before it switches to a
    /// newer release, such as a migration of a database of its own; on the way back to an
    /// older one it does not run. It runs once for a deployment, however often the
    /// connection is cut or the deployment tried again, unless that was stopped in the
    /// midst of it; when it fails, so does the deployment. Secrets must not be in it: all
    /// users of the host see it.
    #[must_use]
    pub fn before_switch(mut self, command: Command) -> Self {
        self.before_switch = with(&self.before_switch, command);
        self
    }

    /// The same after the switch, such as a reload of PHP. When it fails the deployment's
    /// log says so, and the switch stays.
    #[must_use]
    pub fn after_switch(mut self, command: Command) -> Self {
        self.after_switch = with(&self.after_switch, command);
        self
    }
}

fn hosts(targets: Vec<SshTarget>, patience: Duration) -> Arc<[Arc<Host>]> {
    let host = |target| {
        Arc::new(Host {
            session: Session::new(target, patience),
        })
    };
    targets.into_iter().map(host).collect()
}

fn with(commands: &[Command], command: Command) -> Arc<[Command]> {
    commands.iter().cloned().chain([command]).collect()
}
