//! Deployments to servers over SSH: beside Capistrano, and to twenty hosts beside one.

mod capistrano;
mod floor;
mod ours;
mod repository;

use std::process::Command;
use std::time::Instant;

use deployr_exec::ssh::{SshExecutor, SshTarget};
use deployr_testkit::ssh::Sshd;
use tokio::runtime::Runtime;

use crate::report::{Goal, Row};
use crate::side_by_side::Case;
use crate::{Error, Rows};
use capistrano::Capistrano;
use floor::Floor;
use ours::Ours;
use repository::Repository;

const BENCH: &str = "ssh";
const HOSTS: usize = 20;

pub(crate) fn run() -> Rows {
    capistrano::check()?;
    let runtime = Runtime::new()?;
    // 2,000 files, 50 MB.
    let large = Repository::new(2_000, 25_000)?;
    let mut rows = vec![first(&runtime, &large)?, second(&runtime, &large)?];
    rows.extend(hosts(&runtime)?);
    Ok(rows)
}

/// The first of a project to a host, on both sides with nothing there yet.
fn first(runtime: &Runtime, repository: &Repository) -> Result<Row, Error> {
    let case = Case {
        bench: BENCH,
        case: "first-vs-capistrano".to_owned(),
        unit: "ms",
        goal: Goal::RatioAtMost(1.0),
    };
    case.measure(
        || {
            let sshd = Sshd::start();
            let ours = Ours::open(runtime, repository, executor([&sshd])?)?;
            timed(|| ours.deploy())
        },
        || {
            let sshd = Sshd::start();
            let theirs = Capistrano::new(&sshd, repository)?;
            timed(|| theirs.deploy())
        },
    )
}

/// Each after a commit that changes three files.
fn second(runtime: &Runtime, repository: &Repository) -> Result<Row, Error> {
    let hosts = [Sshd::start(), Sshd::start()];
    let ours = Ours::open(runtime, repository, executor([&hosts[0]])?)?;
    let theirs = Capistrano::new(&hosts[1], repository)?;
    ours.deploy()?;
    theirs.deploy()?;
    let case = Case {
        bench: BENCH,
        case: "second-vs-capistrano".to_owned(),
        unit: "ms",
        goal: Goal::RatioAtMost(0.5),
    };
    let check = |host: &Sshd, site: &str, version: &str| {
        let found = host.home().join(site).join("current/version.txt");
        match std::fs::read_to_string(found)? == version {
            true => Ok(()),
            false => Err(Error::from("what was pushed last is not there")),
        }
    };
    case.measure(
        || {
            let version = repository.change()?;
            let took = timed(|| ours.deploy())?;
            check(&hosts[0], "sites/site", &version)?;
            Ok(took)
        },
        || {
            let version = repository.change()?;
            let took = timed(|| theirs.deploy())?;
            check(&hosts[1], "cap", &version)?;
            Ok(took)
        },
    )
}

/// Redeployments of a small site: what is measured are the calls, all on this machine. And how
/// long so many hosts take this machine at the very least.
fn hosts(runtime: &Runtime) -> Rows {
    let repository = Repository::new(20, 5_000)?;
    let hosts: Vec<Sshd> = (0..=HOSTS).map(|_| Sshd::start()).collect();
    let (one, many) = hosts.split_at(1);
    let floors = (Floor::connect(many)?, Floor::connect(one)?);
    let floor = Case {
        bench: BENCH,
        case: format!("hosts-{HOSTS}-floor"),
        unit: "ms",
        goal: Goal::None,
    };
    let floor = floor.measure(
        || timed(|| floors.0.send(repository.path())),
        || timed(|| floors.1.send(repository.path())),
    )?;
    drop(floors);
    let one = Ours::open(runtime, &repository, executor(one)?)?;
    let many = Ours::open(runtime, &repository, executor(many)?)?;
    one.deploy()?;
    many.deploy()?;
    let case = Case {
        bench: BENCH,
        case: format!("hosts-{HOSTS}-vs-1"),
        unit: "ms",
        goal: Goal::RatioAtMost(2.0),
    };
    let ours = case.measure(
        || {
            repository.change()?;
            timed(|| many.deploy())
        },
        || {
            repository.change()?;
            timed(|| one.deploy())
        },
    )?;
    Ok(vec![ours, floor])
}

/// In milliseconds; whatever was written before has been taken by the disk.
fn timed(deploy: impl FnOnce() -> Result<(), Error>) -> Result<f64, Error> {
    Command::new("sync").status()?;
    let began = Instant::now();
    deploy()?;
    Ok(began.elapsed().as_secs_f64() * 1e3)
}

fn executor<'a>(hosts: impl IntoIterator<Item = &'a Sshd>) -> Result<SshExecutor, Error> {
    let targets = hosts.into_iter().map(|sshd| {
        let mut target = SshTarget::new("127.0.0.1", "sites")?;
        target.port = sshd.port();
        target.user = Some(Sshd::user());
        target.host_key = Some(sshd.host_key());
        target.key = Some(sshd.key());
        Ok(target)
    });
    let targets = targets.collect::<Result<Vec<_>, Error>>()?;
    Ok(SshExecutor::with_hosts(targets)?)
}
