//! The two state machines, walked through as a whole, and their charts.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write;
use std::path::Path;

use deployr_core::model::{DeploymentStatus, JobState, Stage};
use deployr_core::state::{DeploymentEvent, JobEvent};

/// All that a machine can do: from, event, to.
type Arrows = Vec<(&'static str, &'static str, &'static str)>;

fn deployment_arrows() -> Arrows {
    let mut arrows = Vec::new();
    for from in DeploymentStatus::ALL {
        for event in DeploymentEvent::ALL {
            if let Ok(to) = from.on(event) {
                arrows.push((from.as_str(), event.as_str(), to.as_str()));
            }
        }
    }
    arrows
}

fn job_arrows() -> Arrows {
    let mut arrows = Vec::new();
    for from in JobState::ALL {
        for event in JobEvent::ALL {
            if let Ok(to) = from.on(event) {
                arrows.push((from.as_str(), event.as_str(), to.as_str()));
            }
        }
    }
    arrows
}

/// What can be reached from a state, itself included.
fn reachable(arrows: &Arrows, from: &'static str) -> Vec<&'static str> {
    let mut seen = vec![from];
    let mut at = 0;
    while let Some(state) = seen.get(at).copied() {
        at += 1;
        for (_, _, to) in arrows.iter().filter(|(from, ..)| *from == state) {
            if !seen.contains(to) {
                seen.push(to);
            }
        }
    }
    seen
}

fn check(arrows: &Arrows, first: &'static str, states: &[(&'static str, bool)]) {
    let all = reachable(arrows, first);
    for (state, is_final) in states {
        assert!(all.contains(state), "{state} can be reached from {first}");
        let leaves = arrows.iter().any(|(from, ..)| from == state);
        assert_eq!(
            leaves, !is_final,
            "{state}: what is final never changes, the rest can"
        );
        let ends = reachable(arrows, state);
        let ends = states
            .iter()
            .any(|(end, is_final)| *is_final && ends.contains(end));
        assert!(ends, "{state} can reach an end");
    }
}

#[test]
fn every_deployment_can_end_and_none_changes_after_its_end() {
    let states = DeploymentStatus::ALL.map(|status| (status.as_str(), status.is_final()));
    check(&deployment_arrows(), "queued", &states);
}

#[test]
fn every_job_can_end_and_none_changes_after_its_end() {
    let states = JobState::ALL.map(|state| (state.as_str(), state.is_final()));
    check(&job_arrows(), "pending", &states);
}

#[test]
fn every_open_deployment_can_fail_and_be_cancelled() {
    for status in DeploymentStatus::ALL
        .into_iter()
        .filter(|status| !status.is_final())
    {
        assert_eq!(
            status.on(DeploymentEvent::Fail),
            Ok(DeploymentStatus::Failed)
        );
        let cancelling = status.on(DeploymentEvent::RequestCancel);
        assert_eq!(cancelling, Ok(DeploymentStatus::Cancelling));
    }
    let cancelled = DeploymentStatus::Cancelling.on(DeploymentEvent::Cancel);
    assert_eq!(cancelled, Ok(DeploymentStatus::Cancelled));
}

#[test]
fn nothing_goes_live_that_was_not_deploying() {
    for status in DeploymentStatus::ALL {
        let may = matches!(
            status,
            DeploymentStatus::Deploying | DeploymentStatus::Cancelling
        );
        assert_eq!(status.on(DeploymentEvent::Succeed).is_ok(), may, "{status}");
    }
}

#[test]
fn names_lead_back_to_what_they_name() {
    for status in DeploymentStatus::ALL {
        assert_eq!(DeploymentStatus::from_name(status.as_str()), Some(status));
    }
    for state in JobState::ALL {
        assert_eq!(JobState::from_name(state.as_str()), Some(state));
    }
    for stage in Stage::ALL {
        assert_eq!(Stage::from_name(stage.as_str()), Some(stage));
        let entered = DeploymentEvent::entering(stage).is_some();
        assert_eq!(entered, !matches!(stage, Stage::Queued | Stage::Finished));
    }
    assert!(Stage::ALL.is_sorted());
    assert_eq!(DeploymentStatus::from_name("Success"), None);
}

fn chart(arrows: &Arrows, starts: &[&str], ends: &[&str]) -> String {
    let mut chart = String::from("```mermaid\nstateDiagram-v2\n");
    for start in starts {
        writeln!(chart, "    [*] --> {start}").unwrap();
    }
    // An event that changes nothing would be an arrow from a state to itself.
    for (from, event, to) in arrows.iter().filter(|(from, _, to)| from != to) {
        writeln!(chart, "    {from} --> {to}: {event}").unwrap();
    }
    for end in ends {
        writeln!(chart, "    {end} --> [*]").unwrap();
    }
    chart + "```\n"
}

#[test]
fn charts_in_the_docs_are_up_to_date() {
    let deployment = chart(
        &deployment_arrows(),
        &["queued"],
        &["success", "failed", "cancelled"],
    );
    let job = chart(
        &job_arrows(),
        &["pending", "queued"],
        &["completed", "failed", "cancelled"],
    );
    let text = format!(
        "# Deployments\n\n{deployment}\n# Jobs\n\n{job}\n\
         Written by `UPDATE_DOCS=1 cargo test -p deployr-core --all-features --test state`.\n"
    );
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/state.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&file, &text).unwrap();
    }
    let present = std::fs::read_to_string(&file).unwrap();
    assert_eq!(present, text, "stale: run with UPDATE_DOCS=1");
}
