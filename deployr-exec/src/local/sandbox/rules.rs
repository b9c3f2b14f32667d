use std::io;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::thread;

use caps::CapSet;
use deployr_core::error::Fault;
use landlock::{
    ABI, Access, AccessFs, LandlockStatus, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, RulesetError, Scope, path_beneath_rules,
};
use nix::errno::Errno;

/// The newest rules that this code was written for; the kernel may know fewer.
const NEWEST: ABI = ABI::V6;

/// No others: where the engine is root, a disk under `/dev` is all files at once.
const DEVICES: [&str; 6] = [
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
    "/dev/tty",
];

/// What keeps processes away from the rest of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Confinement {
    /// The kernel's Landlock: they read the system's programs, write to the folders that
    /// are theirs, and see no other file.
    Landlock {
        /// The version of its rules.
        abi: u32,
    },
    /// Nothing: they may do what the engine's user may.
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

/// The rules for some processes, ready to be imposed on each by a few system calls.
#[derive(Debug)]
pub(in crate::local) struct Rules(RulesetCreated);

impl Rules {
    pub(super) fn new(readable: &[PathBuf], writable: &[PathBuf]) -> Result<Self, Fault> {
        let build = || {
            Ruleset::default()
                .handle_access(AccessFs::from_all(NEWEST))?
                // No signal to the engine or to others that it has started: all have one user.
                .scope(Scope::Signal)?
                .scope(Scope::AbstractUnixSocket)?
                .create()?
                .add_rules(path_beneath_rules(readable, AccessFs::from_read(NEWEST)))?
                .add_rules(path_beneath_rules(DEVICES, AccessFs::from_file(NEWEST)))?
                .add_rules(path_beneath_rules(writable, AccessFs::from_all(NEWEST)))
        };
        build().map(Self).map_err(|error: RulesetError| {
            Fault::permanent("confining", "a process", &error).because(error)
        })
    }

    #[cfg(feature = "local-builder")]
    pub(in crate::local) fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }

    /// Holds this process and all that it starts to the rules, for ever. System calls
    /// only: it runs between fork and exec.
    pub(in crate::local) fn impose(self) -> io::Result<()> {
        // The errors in words would have to be allocated.
        self.0
            .restrict_self()
            .map_err(|_| io::Error::from(Errno::last()))?;
        drop_privileges().map_err(|_| io::Error::from(Errno::last()))
    }
}

/// Where the engine is root, what it confines is a root that may do nothing which others
/// may not: one with `CAP_PERFMON` reads the engine's environment past Landlock, and one
/// with `CAP_MKNOD` makes itself a disk to read. Whoever is confined cannot get them back
/// with a program of root's.
fn drop_privileges() -> Result<(), caps::errors::CapsError> {
    for set in [CapSet::Ambient, CapSet::Inheritable, CapSet::Permitted] {
        caps::clear(None, set)?;
    }
    Ok(())
}
