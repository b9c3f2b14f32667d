//! A deployment from the call to live, beside a shell script that does the same.

mod origin;
mod script;
mod site;
mod start;

use std::cell::Cell;
use std::fs;
use std::path::Path;
use std::time::Duration;

use tokio::runtime::Runtime;

use crate::report::{Goal, Row};
use crate::side_by_side::Case;
use crate::{Error, Rows};
pub(crate) use origin::Origin;
pub(crate) use site::Site;

const BENCH: &str = "pipeline";

/// How long a deployment took.
pub(crate) struct Took {
    all: Duration,
    /// The project's own build command in it.
    build: Duration,
}

impl Took {
    /// All but the build command, in milliseconds.
    fn overhead(&self) -> f64 {
        self.all.saturating_sub(self.build).as_secs_f64() * 1e3
    }
}

pub(crate) fn run() -> Rows {
    let runtime = Runtime::new()?;
    let origin = Origin::serve()?;
    Ok(vec![
        warm(&runtime, &origin)?,
        cold(&runtime, &origin)?,
        start::row(&runtime)?,
    ])
}

/// One commit has been pushed since the last deployment.
fn warm(runtime: &Runtime, origin: &Origin) -> Result<Row, Error> {
    let folder = tempfile::tempdir()?;
    let (ours, theirs) = (folder.path().join("ours"), folder.path().join("script"));
    fs::create_dir(&ours)?;
    fs::create_dir(&theirs)?;
    let site = Site::open(runtime, &ours, &origin.url())?;
    site.deploy()?.live()?;
    script::deploy(&theirs, &origin.url(), 0)?;
    let round = Cell::new(0);
    let case = Case {
        bench: BENCH,
        case: "overhead-warm".to_owned(),
        unit: "ms",
        goal: Goal::RatioAtMost(1.0),
    };
    let row = case.measure(
        || {
            let version = settled(|| origin.push())?;
            let took = site.deploy()?.live()?;
            serves(
                &ours.join("sites").join(site.project.slug.as_str()),
                &version,
            )?;
            Ok(took.overhead())
        },
        || {
            let version = settled(|| origin.push())?;
            round.set(round.get() + 1);
            let took = script::deploy(&theirs, &origin.url(), round.get())?;
            serves(&theirs, &version)?;
            Ok(took.overhead())
        },
    )?;
    site.close();
    Ok(row)
}

/// The first deployment of all, on both sides.
fn cold(runtime: &Runtime, origin: &Origin) -> Result<Row, Error> {
    let case = Case {
        bench: BENCH,
        case: "overhead-cold".to_owned(),
        unit: "ms",
        goal: Goal::RatioAtMost(1.5),
    };
    case.measure(
        || {
            let folder = tempfile::tempdir()?;
            let site = Site::open(runtime, folder.path(), &origin.url())?;
            settled(|| Ok(()))?;
            let took = site.deploy()?.live()?;
            site.close();
            Ok(took.overhead())
        },
        || {
            let folder = settled(|| Ok(tempfile::tempdir()?))?;
            Ok(script::deploy(folder.path(), &origin.url(), 0)?.overhead())
        },
    )
}

/// Prepares a round, and has the disk take what was written for that and by the round
/// before: each is to pay for its own.
fn settled<T>(prepare: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    let prepared = prepare()?;
    std::process::Command::new("sync").status()?;
    Ok(prepared)
}

/// Whether what lies in `current` is what was pushed.
fn serves(target: &Path, version: &str) -> Result<(), Error> {
    match fs::read_to_string(target.join("current/version.txt"))? == version {
        true => Ok(()),
        false => Err(format!("{} has not what was pushed last", target.display()).into()),
    }
}
