//! The server as a process that is killed, and whatever else runs for its data directory.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdout, ExitStatus, Stdio};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use serde_json::Value;

use crate::machine::Machine;

/// `deployr serve` in a process group of its own. Killed when dropped.
pub(crate) struct Server {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Server {
    /// Starts it; it serves once [`wait_until_it_serves`](Self::wait_until_it_serves) says so.
    pub(crate) fn start(machine: &Machine) -> Self {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(machine.path().join("server.log"))
            .unwrap();
        let mut child = machine
            .command(&["serve", "--json", "--listen", "127.0.0.1:0"])
            .args(["--concurrency", "3"])
            .stdout(Stdio::piped())
            .stderr(log)
            .process_group(0)
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output }
    }

    pub(crate) fn wait_until_it_serves(&mut self) -> SocketAddr {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        let event: Value = serde_json::from_str(&line)
            .unwrap_or_else(|_| panic!("the server did not start: {line:?}"));
        assert_eq!(event["event"], "serving", "{line}");
        event["address"].as_str().unwrap().parse().unwrap()
    }

    /// SIGKILL to the server and to what is in its process group.
    pub(crate) fn kill(self) {
        drop(self);
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn stop(mut self) -> ExitStatus {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM).unwrap();
        self.child.wait().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Not after `stop`: the number may be somebody else's by then.
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            let _ = killpg(Pid::from_raw(self.child.id() as i32), Signal::SIGKILL);
            let _ = self.child.wait();
        }
    }
}

/// A process that works for a machine: of a build, or of a release.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) command: String,
    /// The build that it belongs to.
    pub(crate) build: Option<String>,
    /// The folder of the release that it belongs to.
    pub(crate) release: Option<String>,
}

/// All living processes, save the server, with this folder in their environment.
pub(crate) fn processes_of(folder: &Path) -> Vec<Process> {
    let folder = folder.to_str().unwrap();
    let of = |pid: i32| {
        let environ = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
        let environ = String::from_utf8_lossy(&environ);
        let value = |name: &str| {
            let mut values = environ.split('\0').filter_map(|set| set.strip_prefix(name));
            values.next().map(str::to_owned)
        };
        let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
        environ.contains(folder).then(|| Process {
            pid,
            command: command.replace('\0', " "),
            build: value("DEPLOYR_BUILD="),
            release: value("DEPLOYR_RUN="),
        })
    };
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(of)
        .collect()
}

/// Ends what a failed test has left.
pub(crate) fn kill_all_of(folder: &Path) {
    for process in processes_of(folder) {
        let _ = kill(Pid::from_raw(process.pid), Signal::SIGKILL);
    }
}
