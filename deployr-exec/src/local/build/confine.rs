use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::{env, fs, thread};

use deployr_core::error::Fault;
use landlock::{
    ABI, Access, AccessFs, LandlockStatus, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, RulesetError, Scope, path_beneath_rules,
};

/// The newest rules that this code was written for; the kernel may know fewer.
const NEWEST: ABI = ABI::V6;

/// Where programs, their libraries and their settings are, and what the kernel tells.
const READABLE: [&str; 13] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/etc",
    "/opt",
    "/nix/store",
    "/proc",
    "/sys/devices/system",
    "/sys/fs/cgroup",
    "/dev",
];

const DEVICES: [&str; 6] = [
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
    "/dev/tty",
];

/// What keeps a build away from the rest of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Confinement {
    /// The kernel's Landlock: a build reads the system's programs, writes to its own
    /// workspace and its project's cache, and sees no other file.
    Landlock {
        /// The version of its rules.
        abi: u32,
    },
    /// Nothing: a build may do what the engine's user may.
    None {
        /// Why, and what to do.
        reason: String,
    },
}

impl Confinement {
    /// What this kernel has.
    pub(super) fn of_kernel() -> Self {
        static KERNEL: OnceLock<Confinement> = OnceLock::new();
        KERNEL.get_or_init(probe).clone()
    }
}

/// Asks the kernel by trying it, on a thread that does nothing else and then ends.
fn probe() -> Confinement {
    let restrict = || {
        let ruleset = Ruleset::default()
            .handle_access(AccessFs::Execute)?
            .create()?;
        Ok::<_, RulesetError>(ruleset.restrict_self()?.landlock)
    };
    let none = |reason: &str| Confinement::None {
        reason: reason.to_owned(),
    };
    match thread::spawn(restrict).join() {
        Ok(Ok(LandlockStatus::Available { effective_abi, .. })) => Confinement::Landlock {
            abi: effective_abi as u32,
        },
        Ok(Ok(LandlockStatus::NotEnabled)) => {
            none("this kernel has Landlock, but not enabled; add it to `lsm=` at boot")
        }
        Ok(Ok(LandlockStatus::NotImplemented)) => {
            none("this kernel has no Landlock; Linux 5.13 or later has")
        }
        Ok(Err(error)) => none(&format!("Landlock does not work here: {error}")),
        Err(_) => none("Landlock could not be tried"),
    }
}

/// What a build may reach.
#[derive(Debug)]
pub(super) struct Reach {
    /// Read and execute.
    pub(super) readable: Vec<PathBuf>,
    /// Everything.
    pub(super) writable: Vec<PathBuf>,
}

impl Reach {
    /// The system and the tools, less what is the engine's own: a folder that holds
    /// `private`, or lies in it, is left out.
    pub(super) fn new(tool_dirs: &[PathBuf], writable: Vec<PathBuf>, private: &Path) -> Self {
        let system = READABLE.iter().map(PathBuf::from);
        // The resolver's file is often a link to `/run`, which holds sockets too.
        let resolver = fs::canonicalize("/etc/resolv.conf").into_iter();
        let tools = tool_dirs
            .iter()
            .cloned()
            .chain(path_dirs().flat_map(with_modules));
        let tools = tools.filter_map(|dir| fs::canonicalize(dir).ok());
        let apart = |dir: &PathBuf| !private.starts_with(dir) && !dir.starts_with(private);
        let readable = system.chain(resolver).chain(tools.filter(apart)).collect();
        Self { readable, writable }
    }

    /// The engine's `PATH`, as far as a build can use it.
    pub(super) fn search_path(&self) -> String {
        let reachable = |dir: &PathBuf| match fs::canonicalize(dir) {
            Ok(real) => self
                .readable
                .iter()
                .any(|allowed| real.starts_with(allowed)),
            Err(_) => false,
        };
        join(path_dirs().filter(reachable))
    }

    /// The rules, ready to be imposed on a process by a few system calls.
    pub(super) fn ruleset(&self) -> Result<RulesetCreated, Fault> {
        let build = || {
            Ruleset::default()
                .handle_access(AccessFs::from_all(NEWEST))?
                // No signal to the engine or to another build, which have the same user.
                .scope(Scope::Signal)?
                .scope(Scope::AbstractUnixSocket)?
                .create()?
                .add_rules(path_beneath_rules(
                    &self.readable,
                    AccessFs::from_read(NEWEST),
                ))?
                .add_rules(path_beneath_rules(DEVICES, AccessFs::from_file(NEWEST)))?
                .add_rules(path_beneath_rules(
                    &self.writable,
                    AccessFs::from_all(NEWEST),
                ))
        };
        build().map_err(|error: RulesetError| {
            Fault::permanent("confining", "the build", &error).because(error)
        })
    }
}

/// The engine's whole `PATH`, for builds that are not confined.
pub(super) fn whole_path() -> String {
    join(path_dirs())
}

fn join(dirs: impl Iterator<Item = PathBuf>) -> String {
    let dirs: Vec<String> = dirs
        .filter_map(|dir| dir.into_os_string().into_string().ok())
        .collect();
    dirs.join(":")
}

/// The folders of the engine's `PATH`. Relative ones would mean the checkout's.
fn path_dirs() -> impl Iterator<Item = PathBuf> {
    let path = env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    let dirs: Vec<PathBuf> = env::split_paths(&path)
        .filter(|dir| dir.is_absolute())
        .collect();
    dirs.into_iter()
}

/// A folder of programs, and the modules beside it: where node is installed for one
/// user, `npm` is a link into them.
fn with_modules(dir: PathBuf) -> [PathBuf; 2] {
    let modules = dir.join("../lib/node_modules");
    [dir, modules]
}
