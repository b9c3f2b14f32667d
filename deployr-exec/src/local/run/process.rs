//! Starts a release's process, or finds the one that an earlier engine has started.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use deployr_core::error::{Fault, StepResult};
use deployr_core::value::BuildCommand;
use serde::{Deserialize, Serialize};
use tokio::process::Child;

use super::layout::{Layout, write_file};
use super::proc::{Identity, kill_now};
use super::spawn::Surroundings;

/// The file by which a later engine finds the process of a release. While it is there,
/// the release shall run. It holds no secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RunFile {
    #[serde(flatten)]
    pub(super) process: Identity,
    pub(super) port: u16,
    /// Where in the log its output begins.
    pub(super) log_from: u64,
}

impl RunFile {
    /// Reads the file. None when it is not there or cannot be understood: then the
    /// processes are still found by their mark.
    pub(super) fn read(layout: &Layout, number: i64) -> Option<Self> {
        serde_json::from_slice(&fs::read(layout.run(number)).ok()?).ok()
    }

    pub(super) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }
}

/// A release's process that is up. `child` is there when it is ours to wait for.
#[derive(Debug)]
pub(super) struct Up {
    pub(super) run: RunFile,
    pub(super) child: Option<Child>,
}

/// All that starting a release takes, at first and again.
#[derive(Debug, Clone)]
pub(super) struct Launch {
    pub(super) around: Surroundings,
    pub(super) line: BuildCommand,
}

impl Launch {
    pub(super) fn layout(&self) -> &Layout {
        &self.around.layout
    }

    pub(super) fn number(&self) -> i64 {
        self.around.number
    }

    /// What marks the release's processes: the path of its folder.
    pub(super) fn mark(&self) -> PathBuf {
        self.layout().release(self.number())
    }

    /// The release's process: the one that is up, or else a new one.
    pub(super) fn start(&self, ports: &Ports) -> StepResult<Up> {
        let _lock = self.layout().lock()?;
        let known = RunFile::read(self.layout(), self.number());
        if let Some(run) = known.clone().filter(|run| run.process.is_alive()) {
            ports.keep(run.port);
            return Ok(Up { run, child: None });
        }
        // An engine that died between starting and noting has left one that nobody knows.
        kill_now(known.as_ref().map(|run| &run.process), &self.mark())?;
        let port = ports
            .take(known.map(|run| run.port))
            .map_err(|e| Fault::io("find a free port for", self.mark().display(), e))?;
        self.spawn(port).inspect_err(|_| ports.give_back(port))
    }

    /// A new process on the same port; none once the release has been retired.
    pub(super) fn restart(&self) -> StepResult<Option<Up>> {
        let _lock = self.layout().lock()?;
        let Some(run) = RunFile::read(self.layout(), self.number()) else {
            return Ok(None);
        };
        if run.process.is_alive() {
            return Ok(Some(Up { run, child: None })); // another engine was faster
        }
        kill_now(Some(&run.process), &self.mark())?;
        self.spawn(run.port).map(Some)
    }

    fn spawn(&self, port: u16) -> StepResult<Up> {
        let log = open_log(self.layout(), self.number())?;
        let log_from = log.metadata().map_or(0, |data| data.len());
        let mark = self.mark();
        let child = self.around.shell(&self.line, Some(port), &mark, log)?;
        let pid = child
            .id()
            .and_then(|pid| i32::try_from(pid).ok())
            .unwrap_or_default();
        let run = RunFile {
            process: Identity::of(pid),
            port,
            log_from,
        };
        let noted = serde_json::to_vec(&run)
            .map_err(|e| Fault::io("write", mark.display(), e.into()).into())
            .and_then(|text| write_file(&self.layout().run(self.number()), &text));
        if let Err(error) = noted {
            kill_now(Some(&run.process), &mark)?;
            return Err(error);
        }
        Ok(Up {
            run,
            child: Some(child),
        })
    }
}

/// The release's log, to be written to at its end.
pub(super) fn open_log(layout: &Layout, number: i64) -> StepResult<File> {
    let path = layout.log(number);
    let open = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&path);
    Ok(open.map_err(|e| Fault::io("open", path.display(), e))?)
}

/// The ports that releases of this engine have, or had until they crashed.
#[derive(Debug, Default)]
pub(super) struct Ports(Mutex<HashSet<u16>>);

impl Ports {
    /// A port that nobody listens on: `wanted`, or one from below the range from
    /// which the system gives ports to outgoing connections, so that it is also
    /// there after a crash.
    fn take(&self, wanted: Option<u16>) -> io::Result<u16> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let end = first_outgoing();
        let random = || {
            let random = RandomState::new().hash_one(end);
            end - 1 - u16::try_from(random % 10_000).unwrap_or_default()
        };
        let candidates = wanted
            .into_iter()
            .chain(std::iter::repeat_with(random).take(1_000));
        for port in candidates {
            if !taken.contains(&port) && is_free(port) {
                taken.insert(port);
                return Ok(port);
            }
        }
        Err(io::Error::new(
            ErrorKind::AddrInUse,
            "a thousand ports that were tried are all taken",
        ))
    }

    fn keep(&self, port: u16) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(port);
    }

    pub(super) fn give_back(&self, port: u16) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&port);
    }
}

/// Whether nobody listens there.
pub(super) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn first_outgoing() -> u16 {
    fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|text| text.split_whitespace().next()?.parse().ok())
        .filter(|&first| first > 12_000)
        .unwrap_or(32_768)
}
