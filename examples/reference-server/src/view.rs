//! Stored things in the words and numbers that are shown.

use std::time::Duration;

use deployr_core::model::{Cause, Deployment, Release, Removal, Stage, StageTimes};
use deployr_core::system::{Clock, SystemClock, Timestamp};
use serde_json::{Value, json};

/// How long ago, in the largest unit that fits.
pub(crate) fn age(at: Timestamp) -> String {
    let seconds = (SystemClock.now() - at).num_seconds().max(0);
    match seconds {
        0..60 => format!("{seconds} s ago"),
        60..3_600 => format!("{} min ago", seconds / 60),
        3_600..86_400 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} d ago", seconds / 86_400),
    }
}

/// A moment in UTC.
pub(crate) fn moment(at: Timestamp) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// So many bytes, in the largest unit that fits.
pub(crate) fn bytes(number: u64) -> String {
    match number {
        0..1_024 => format!("{number} B"),
        1_024..1_048_576 => format!("{} KiB", number >> 10),
        1_048_576..1_073_741_824 => format!("{} MiB", number >> 20),
        _ => format!("{:.1} GiB", number as f64 / f64::from(1 << 30)),
    }
}

/// A span of time, with as many digits as make sense.
pub(crate) fn time(span: Duration) -> String {
    match span.as_secs() {
        0 => format!("{} ms", span.as_millis()),
        1..100 => format!("{:.1} s", span.as_secs_f64()),
        whole => format!("{} min {} s", whole / 60, whole % 60),
    }
}

/// From one moment to another; up to now where the other has not come.
pub(crate) fn span(from: Timestamp, to: Option<Timestamp>) -> Duration {
    (to.unwrap_or_else(|| SystemClock.now()) - from)
        .to_std()
        .unwrap_or_default()
}

/// How long each stage took, over all attempts, in order.
pub(crate) fn stage_times(stages: &[StageTimes]) -> Vec<(Stage, Duration)> {
    let total = |stage: Stage| {
        let entries = stages.iter().filter(|times| times.stage == stage);
        entries
            .map(|times| span(times.started_at, times.ended_at))
            .reduce(|sum, next| sum + next)
    };
    let shown = Stage::ALL
        .into_iter()
        .filter(|&stage| stage != Stage::Finished);
    shown
        .filter_map(|stage| Some((stage, total(stage)?)))
        .collect()
}

/// `queued 4 ms · build 1.2 s`
pub(crate) fn stage_line(stages: &[StageTimes]) -> String {
    let times = stage_times(stages).into_iter();
    times
        .map(|(stage, span)| format!("{stage} {}", time(span)))
        .collect::<Vec<_>>()
        .join(" · ")
}

/// How long a deployment took, without its time in the queue.
pub(crate) fn work_time(deployment: &Deployment) -> Option<Duration> {
    deployment
        .started_at
        .map(|started| span(started, deployment.finished_at))
}

/// How far the removal of a project is.
pub(crate) fn removal(removal: &Removal, trouble: Option<&str>) -> String {
    let left: Vec<&str> = removal.targets.iter().map(|one| one.as_str()).collect();
    let left = match left[..] {
        [] => String::new(),
        _ => format!(", is still on {}", left.join(", ")),
    };
    match trouble {
        Some(why) => format!("being removed{left}, and does not get on: {why}"),
        None => format!("being removed{left}"),
    }
}

pub(crate) fn cause(cause: &Cause) -> String {
    match cause {
        Cause::Deploy { reference } => format!("deploy {reference}"),
        Cause::Rollback { .. } => "rollback".into(),
    }
}

pub(crate) fn commit(deployment: &Deployment) -> String {
    deployment
        .commit
        .as_ref()
        .map_or("-".into(), |commit| commit.short().to_owned())
}

/// A release without its environment.
pub(crate) fn release_json(release: &Release) -> Value {
    json!({
        "id": release.id,
        "number": release.number,
        "state": release.state,
        "deployment": release.deployment,
        "target": release.target,
        "commit": release.commit,
        "digest": release.digest,
        "created_at": release.created_at,
    })
}
