//! Logs: from what a build prints to what a follower sees, beside the same lines put
//! into SQLite by a bare loop.

mod bare;
pub(crate) mod ours;

use std::time::{Duration, Instant};

use crate::Error;
use crate::report::{Goal, Row};
use crate::side_by_side::{Case, median, rounds};
use ours::Place;

/// How many lines a round of `sqlite-throughput` writes.
pub(crate) const LINES: usize = 300_000;
/// Length of a line, without its end.
const LINE_BYTES: usize = 110;

/// The rate of `sqlite-follow`: so many lines at once, so often, for so long.
pub(crate) const BURST: usize = 10;
pub(crate) const TICK: Duration = Duration::from_millis(1);
pub(crate) const TICKS: usize = 2_000;

/// Of `sqlite-append-stalled`: how many follow, and how often lines are appended.
const FOLLOWERS: usize = 100;
const APPENDS: usize = 2_000;

pub(crate) fn run() -> Result<Vec<Row>, Error> {
    Ok(vec![throughput()?, follow()?, append()?])
}

/// Lines per second, until all are durable and the follower has seen the last.
fn throughput() -> Result<Row, Error> {
    let lines = lines(LINES);
    let output = lines.join("\n") + "\n";
    let case = Case {
        bench: "logs",
        case: "sqlite-throughput".to_owned(),
        unit: "lines/s",
        goal: Goal::RatioAtLeast(0.7),
    };
    case.measure(
        || per_second(ours::throughput(&Place::Sqlite, &output, LINES)?),
        || per_second(bare::throughput(&lines)?),
    )
}

pub(crate) fn per_second(took: Duration) -> Result<f64, Error> {
    Ok(LINES as f64 / took.as_secs_f64())
}

/// The 99th percentile of the time from the write of a line to its arrival at the
/// follower, in ms.
fn follow() -> Result<Row, Error> {
    let lines = lines(BURST * TICKS);
    let (mut all_ours, mut all_bare) = (Vec::new(), Vec::new());
    for _ in 0..rounds() {
        all_ours.push(Delays::of(ours::follow(&Place::Sqlite, &lines)?));
        all_bare.push(Delays::of(bare::follow(&lines)?));
    }
    let middle =
        |delays: &[Delays], of: fn(&Delays) -> f64| median(delays.iter().map(of).collect());
    eprintln!(
        "  logs/sqlite-follow: p50 {:.2} ms, the bare reader's {:.2} ms",
        middle(&all_ours, |delays| delays.p50),
        middle(&all_bare, |delays| delays.p50),
    );
    let case = Case {
        bench: "logs",
        case: "sqlite-follow".to_owned(),
        unit: "ms (p99)",
        goal: Goal::OursAtMost(20.0),
    };
    Ok(case.row(
        middle(&all_ours, |delays| delays.p99),
        middle(&all_bare, |delays| delays.p99),
    ))
}

/// The 99th percentile of the calls that append lines which a hundred followers read, with one
/// more that reads nothing beside without it; in ms.
fn append() -> Result<Row, Error> {
    let lines = lines(BURST * APPENDS);
    let p99 = |stalled| Ok(Delays::of(ours::append(&lines, FOLLOWERS, stalled)?).p99);
    let case = Case {
        bench: "logs",
        case: "sqlite-append-stalled".to_owned(),
        unit: "ms (p99)",
        goal: Goal::RatioAtMost(1.1),
    };
    case.measure(|| p99(true), || p99(false))
}

/// Of one round, in ms.
pub(crate) struct Delays {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

impl Delays {
    pub(crate) fn of(mut delays: Vec<Duration>) -> Self {
        delays.sort_unstable();
        let at = |part: usize| {
            delays
                .get(delays.len() * part / 100)
                .map_or(f64::NAN, |delay| delay.as_secs_f64() * 1e3)
        };
        Self {
            p50: at(50),
            p99: at(99),
        }
    }
}

/// Lines as a package manager prints them, each with its number.
pub(crate) fn lines(count: usize) -> Vec<String> {
    let line = |n: usize| {
        let (package, major, minor) = (n * 7_919 % 4_999, n % 13, n % 31);
        let text = format!(
            "{n:07} http fetch GET 200 https://registry.example.com/package-{package}/-/\
             package-{package}-{major}.{minor}.0.tgz {}ms ",
            n % 977
        );
        format!("{text:.<LINE_BYTES$}")
    };
    (0..count).map(line).collect()
}

/// How long each line was under way.
pub(crate) fn delays(written: &[Instant], arrived: &[Instant]) -> Vec<Duration> {
    let pairs = written.iter().zip(arrived);
    pairs.map(|(from, to)| to.duration_since(*from)).collect()
}
