//! The peers: programs of `benches/peers`, a workspace of its own, built when they are first
//! needed.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::Error;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    Graphile,
    Apalis,
}

impl Peer {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Graphile => "graphile",
            Self::Apalis => "apalis",
        }
    }

    /// How many jobs are left to be done. No more than that is there of graphile's, which
    /// deletes jobs that are done.
    pub(super) fn left(self) -> &'static str {
        match self {
            Self::Graphile => "SELECT count(*) FROM graphile_worker._private_jobs",
            Self::Apalis => "SELECT count(*) FROM apalis.jobs WHERE status <> 'Done'",
        }
    }
}

/// The program that stands for all of them.
pub(super) struct Peers(PathBuf);

impl Peers {
    pub(super) fn build() -> Result<Self, Error> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/peers");
        let target = PathBuf::from(folder).join("target");
        eprintln!("  building the peers, once (some minutes) ...");
        let status = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
            .args(["build", "--release", "--locked", "--quiet"])
            .current_dir(folder)
            .env("CARGO_TARGET_DIR", &target)
            .status()?;
        match status.success() {
            true => Ok(Self(target.join("release/peer"))),
            false => Err(format!("cannot build the peers in {folder}: {status}").into()),
        }
    }

    pub(super) fn command(&self, peer: Peer, args: &[&str]) -> Command {
        let mut command = Command::new(&self.0);
        command.arg(peer.name()).args(args);
        command
    }

    /// Runs it to its end; gives the numbers that it prints.
    pub(super) fn numbers(&self, peer: Peer, args: &[&str]) -> Result<Vec<f64>, Error> {
        let mut command = self.command(peer, args);
        let output = command.stderr(Stdio::inherit()).output()?;
        if !output.status.success() {
            return Err(format!("{command:?}: {}", output.status).into());
        }
        let text = String::from_utf8(output.stdout)?;
        let numbers = text.lines().map(str::parse);
        Ok(numbers.collect::<Result<_, _>>()?)
    }
}
