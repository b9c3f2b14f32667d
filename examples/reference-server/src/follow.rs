//! Follows a deployment to its end, and tells how it ended.

use std::time::Duration;

use deployr_core::engine::Event;
use deployr_core::log::{LogLine, LogStream};
use deployr_core::model::{Deployment, DeploymentStatus, Failure, Page, Project, ReleaseState};
use serde_json::json;

use crate::exit::{Error, Exit, Result};
use crate::host::Host;
use crate::progress::Progress;
use crate::signals::Signals;
use crate::ui::Ui;
use crate::view;

/// One that has not begun by then has to wait.
const SOON: Duration = Duration::from_secs(2);

/// Shows all that happens until the end. The first Ctrl-C asks the deployment to stop,
/// the second leaves at once.
pub(crate) async fn to_the_end(
    host: &Host,
    deployment: &Deployment,
    signals: &mut Signals,
    ui: &Ui,
) -> Result<Deployment> {
    let mut events = host.engine.follow(&host.actor, deployment.id, 0).await?;
    let mut progress = Progress::start(ui);
    let (mut asked, mut explained) = (false, false);
    let mut verdict: Option<LogLine> = None;
    loop {
        tokio::select! {
            event = events.try_next() => match event? {
                Some(Event::Line(line)) => {
                    if let Some(before) = verdict.take() {
                        progress.line(&before);
                    }
                    match why(&line) {
                        Some(_) => verdict = Some(line),
                        None => progress.line(&line),
                    }
                }
                Some(Event::Finished(deployment)) => {
                    if let Some(line) = verdict {
                        progress.last_line(&line, told_again(&line, &deployment));
                    }
                    return Ok(*deployment);
                }
                None => return Err(Error::fault("the deployment ended without a word")),
            },
            () = tokio::time::sleep(SOON), if !explained && progress.is_queued() => {
                explained = true;
                progress.note(&why_it_waits(host, deployment).await?);
            }
            () = signals.next() => {
                if asked {
                    progress.end();
                    std::process::exit(Exit::Fault as i32);
                }
                asked = true;
                progress.note("asked to stop; once more to leave at once");
                host.engine.cancel(&host.actor, deployment.id, "called off at the terminal").await?;
            }
        }
    }
}

/// What a line of the log says of why an attempt has failed, if it does.
fn why(line: &LogLine) -> Option<&str> {
    let said = Some(&line.text).filter(|_| line.stream == LogStream::Engine)?;
    said.strip_prefix("failed: ")
        .or_else(|| said.strip_prefix("fault: "))
}

/// Whether [`tell`] says the same as the last line of the log.
fn told_again(line: &LogLine, deployment: &Deployment) -> bool {
    let reason = deployment.failure.as_ref().map(Failure::message);
    reason.is_some() && why(line) == reason
}

/// What a deployment that has not begun waits for.
async fn why_it_waits(host: &Host, deployment: &Deployment) -> Result<String> {
    let newest = host
        .engine
        .deployments(&host.actor, Some(deployment.project), Page::first(100))
        .await?;
    let before = newest
        .iter()
        .find(|other| other.number < deployment.number && !other.status.is_final());
    let paused = host.engine.paused().await?;
    if paused.iter().any(|kind| kind.as_str() == "deploy") {
        return Ok("deployments are paused: `deployr queue resume` begins them again".into());
    }
    Ok(match before {
        Some(other) => format!(
            "waits for deployment {} ({}) to end",
            other.number, other.status
        ),
        None => "waits for a worker".into(),
    })
}

/// Tells how a deployment ended, and gives the code to exit with.
pub(crate) async fn tell(
    host: &Host,
    project: &Project,
    deployment: &Deployment,
    ui: &Ui,
) -> Result<Exit> {
    let stages = host.engine.stages(&host.actor, deployment.id).await?;
    let releases = host
        .engine
        .releases(&host.actor, project.id, Page::first(1_000))
        .await?;
    let release = releases
        .iter()
        .find(|release| Some(release.id) == deployment.release);
    let url = host.url(project);
    ui.emit(&json!({
        "event": "finished",
        "deployment": deployment,
        "project": project.slug,
        "release": release.map(|release| release.number),
        "url": url,
        "stages": stages,
    }));
    if deployment.status == DeploymentStatus::Success {
        let number = release.map_or(0, |release| release.number);
        let took = view::work_time(deployment)
            .map(view::time)
            .unwrap_or_default();
        let told = format!(
            "{}: release {number} ({}) is live after {took}",
            project.name,
            view::commit(deployment)
        );
        ui.say(ui.good(&told));
        ui.say(format_args!("  {}", ui.dim(&view::stage_line(&stages))));
        match url {
            Some(url) => ui.say(format_args!("  {}", ui.strong(&url))),
            None if host.is_shared => ui.say(format_args!(
                "  it is served by the machine with the target {}",
                project.settings.target
            )),
            None => ui.say("  nothing serves it at present: `deployr serve` does"),
        }
    } else {
        let why = deployment
            .failure
            .as_ref()
            .map_or("no reason is known", Failure::message);
        ui.verdict(format_args!(
            "{} {}: {why}",
            project.name, deployment.status
        ));
        if let Some(live) = releases
            .iter()
            .find(|release| release.state == ReleaseState::Live)
        {
            ui.say(format_args!("release {} stays live", live.number));
        }
    }
    Ok(exit_of(deployment))
}

/// What an ended deployment means for the exit code.
pub(crate) fn exit_of(deployment: &Deployment) -> Exit {
    match (deployment.status, &deployment.failure) {
        (DeploymentStatus::Success, _) => Exit::Ok,
        (_, Some(Failure::Fault { .. })) => Exit::Fault,
        _ => Exit::Verdict,
    }
}
