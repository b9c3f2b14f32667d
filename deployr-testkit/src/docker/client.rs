//! The engine as people have it: by Docker's own client.

use std::process::Command;
use std::sync::atomic::Ordering;

use super::Docker;

impl Docker {
    /// What a command of the client prints.
    ///
    /// # Panics
    ///
    /// When it fails.
    pub fn run(&self, args: &[&str]) -> String {
        let output = self
            .client()
            .args(args)
            .output()
            .expect("`docker` can be run");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "docker {args:?}: {said}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Removes all services, secrets, containers, networks and volumes that bear a label, as
    /// `name=value`. Networks of a swarm, which lets go of them in its own time, go with it.
    ///
    /// # Panics
    ///
    /// When one cannot be removed.
    pub fn remove_all_with(&self, label: &str) {
        let filter = format!("label={label}");
        let list = |what: &[&str]| {
            let all = self.run(&[what, &["--quiet", "--filter", &filter]].concat());
            all.lines().map(str::to_owned).collect::<Vec<_>>()
        };
        let in_swarm = self.in_swarm.load(Ordering::Relaxed);
        // Not by `prune`, of which an engine does one at a time and refuses others.
        for (of_swarm, list_of, remove) in [
            (true, &["service", "ls"][..], &["service", "rm"][..]),
            (true, &["secret", "ls"], &["secret", "rm"]),
            (false, &["ps", "--all"], &["rm", "--force", "--volumes"]),
            (
                false,
                &["network", "ls", "--filter", "scope=local"],
                &["network", "rm"],
            ),
            (false, &["volume", "ls"], &["volume", "rm"]),
        ] {
            if of_swarm && !in_swarm {
                continue;
            }
            let left = list(list_of);
            let left: Vec<&str> = left.iter().map(String::as_str).collect();
            if !left.is_empty() {
                self.run(&[remove, &left[..]].concat());
            }
        }
    }

    pub(super) fn client(&self) -> Command {
        let mut docker = Command::new("docker");
        docker
            .arg("--host")
            .arg(format!("unix://{}", self.socket().display()))
            .env_remove("DOCKER_CONTEXT")
            .env("DOCKER_CONFIG", &self.folder);
        docker
    }
}
