use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Images;
use crate::value::{
    BuildCommand, DrainTime, Framework, HealthDeadline, HealthInterval, HealthPath, HealthStatus,
    HealthTimeout, OutputDir, RelPath, WorkerName,
};

/// How a checkout is built and how its release is run: a framework's preset with
/// the project's own settings laid over it. Decided by the builder once the source
/// is there, and kept with the release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipe {
    /// The preset that it started from.
    pub framework: Framework,
    /// The folder of the checkout that commands run in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<RelPath>,
    /// What the build runs, in order.
    pub commands: Vec<BuildCommand>,
    /// What of the built checkout becomes the release; relative to `root`.
    pub output: OutputDir,
    /// How the release serves.
    pub runtime: Runtime,
    /// When it counts as healthy.
    pub health: HealthCheck,
    /// Folders and files that all releases share. Which of the two a path is, the
    /// release decides; where it has nothing there, a dot in the last part means a file.
    #[serde(default)]
    pub shared: Vec<RelPath>,
    /// Folders of the release that the running process may write to, besides what is
    /// shared. Executors that cannot confine processes do not hold them to it.
    #[serde(default)]
    pub writable: Vec<RelPath>,
    /// What the target does with it beside running it.
    #[serde(default, skip_serializing_if = "OnTarget::is_nothing")]
    pub on_target: OnTarget,
    /// What its images are built with.
    #[serde(default, skip_serializing_if = "Images::is_nothing")]
    pub images: Images,
}

/// What a target does with a release beside running it. Commands are lines for its shell,
/// run in the release's folder with the project's variables.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OnTarget {
    /// Runs once the release is placed, before it is started, on each host: caches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prepare: Option<BuildCommand>,
    /// Runs after that, before anything of the release is started, on one host of all and
    /// once for a deployment: changes of a database. Not on the way back to a release.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub migrate: Option<BuildCommand>,
    /// Runs on each host when the release is the present one. When it fails the log says
    /// so, and nothing is taken back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_switch: Option<BuildCommand>,
    /// Run on and on beside the release, while it is the present one: queues, timers. Each is
    /// started again when it ends, and of those with one name a host never runs two.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub workers: BTreeMap<WorkerName, BuildCommand>,
    /// Where the web server of a host runs PHP: the folder of the release that it serves.
    /// There, nothing else is started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub web_root: Option<RelPath>,
}

impl OnTarget {
    fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// The commands that end: what each is called, and the line. Those that are `true` do nothing,
    /// and are left out.
    pub fn commands(&self) -> impl Iterator<Item = (&'static str, &BuildCommand)> {
        let after = self
            .after_switch
            .as_ref()
            .map(|line| ("after_switch", line));
        let all = self.before_start().chain(after);
        all.filter(|(_, line)| line.as_str() != "true")
    }

    /// What is run before the release is started: what it is called, and the line.
    pub fn before_start(&self) -> impl Iterator<Item = (&'static str, &BuildCommand)> {
        [("prepare", &self.prepare), ("migrate", &self.migrate)]
            .into_iter()
            .filter_map(|(name, line)| Some((name, line.as_ref()?)))
    }
}

/// How a release serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Runtime {
    /// Files, served by the ingress.
    Static {
        /// Unknown paths get `index.html` (an app that routes in the browser).
        #[serde(default)]
        single_page: bool,
    },
    /// A process that listens on the port in its `PORT` variable.
    Process {
        /// The line that starts it, in the release's folder.
        start: BuildCommand,
    },
    /// The command that a container image brings along, which listens on the port in its
    /// `PORT` variable.
    Image,
    /// The services of a compose file, of which requests go to one.
    Compose {
        /// The file; the first of the usual names where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        file: Option<RelPath>,
        /// The service; the only one that has a port to show where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        service: Option<String>,
        /// Where it listens; the only port that it shows where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        port: Option<u16>,
    },
}

/// When a release counts as healthy. The defaults are those of kamal-proxy: a probe
/// a second, 5 s to answer each, 30 s in all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HealthCheck {
    /// The path to ask for.
    pub path: HealthPath,
    /// The status wanted; any 2xx or 3xx where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<HealthStatus>,
    /// Run this instead of asking over HTTP; healthy when it exits 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<BuildCommand>,
    /// Between the start of two probes, in milliseconds.
    pub interval_ms: HealthInterval,
    /// For one probe to answer, in milliseconds.
    pub timeout_ms: HealthTimeout,
    /// For the release to become healthy, in milliseconds.
    pub deadline_ms: HealthDeadline,
    /// For requests of the old release to end, in milliseconds.
    pub drain_ms: DrainTime,
}

impl HealthCheck {
    /// Between the start of two probes.
    #[must_use]
    pub fn interval(&self) -> Duration {
        self.interval_ms.duration()
    }

    /// For one probe to answer.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout_ms.duration()
    }

    /// For the release to become healthy.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        self.deadline_ms.duration()
    }

    /// For requests of the old release to end.
    #[must_use]
    pub fn drain(&self) -> Duration {
        self.drain_ms.duration()
    }
}
