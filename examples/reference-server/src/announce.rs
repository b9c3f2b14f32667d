//! What a server says of the deployments that it carries out: a line when one begins, and
//! one when it ends.

use std::collections::HashMap;
use std::time::Duration;

use deployr_core::bus::{Hint, Hints};
use deployr_core::engine::Engine;
use deployr_core::model::{Actor, Deployment, DeploymentId, DeploymentStatus, Failure};
use serde_json::json;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::host::Host;
use crate::ui::Ui;
use crate::view;

/// So many are kept in mind, so that late hints tell nothing twice.
const REMEMBERED: usize = 1_000;
/// How long the last lines may take: nobody may be reading them.
const PATIENCE: Duration = Duration::from_secs(1);

/// Listens to the engine's hints until [`finish`](Self::finish).
pub(crate) struct Announcer {
    task: JoinHandle<()>,
    done: oneshot::Sender<()>,
}

impl Announcer {
    pub(crate) fn start(host: &Host, ui: &Ui) -> Self {
        let hints = host.bus.subscribe();
        let (done, asked) = oneshot::channel();
        let teller = Teller {
            engine: host.engine.clone(),
            actor: host.actor.clone(),
            ui: *ui,
            told: HashMap::new(),
        };
        let task = tokio::spawn(teller.run(hints, asked));
        Self { task, done }
    }

    /// Tells what has come so far, and no more.
    pub(crate) async fn finish(self) {
        let _ = self.done.send(());
        let _ = tokio::time::timeout(PATIENCE, self.task).await;
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Begun,
    Ended,
}

struct Teller {
    engine: Engine,
    actor: Actor,
    ui: Ui,
    told: HashMap<DeploymentId, Told>,
}

impl Teller {
    async fn run(mut self, mut hints: Hints, mut done: oneshot::Receiver<()>) {
        loop {
            let hint = tokio::select! {
                biased;
                hint = hints.next() => hint,
                _ = &mut done => return,
            };
            match hint {
                Hint::Deployment(id) => self.look(id).await,
                Hint::Missed => {
                    let begun = self.told.iter().filter(|(_, told)| **told == Told::Begun);
                    for id in begun.map(|(id, _)| *id).collect::<Vec<_>>() {
                        self.look(id).await;
                    }
                }
                _ => {}
            }
        }
    }

    async fn look(&mut self, id: DeploymentId) {
        let told = self.told.get(&id).copied();
        if told == Some(Told::Ended) {
            return;
        }
        // What cannot be read now is looked at with the next hint; `/healthz` says why.
        let Ok(deployment) = self.engine.deployment(&self.actor, id).await else {
            return;
        };
        // One that ended in the queue was carried out by nobody.
        if deployment.started_at.is_none() || deployment.status == DeploymentStatus::Queued {
            return;
        }
        let Ok(project) = self.engine.project(&self.actor, deployment.project).await else {
            return;
        };
        // Hints come from other machines, too.
        if !self.engine.has_target(&project.settings.target) {
            return;
        }
        let name = project.name.as_str();
        if told.is_none() {
            self.tell("started", name, &deployment, "begins");
            self.told.insert(id, Told::Begun);
        }
        if deployment.status.is_final() {
            self.tell("finished", name, &deployment, &ending(&deployment));
            if self.told.len() >= REMEMBERED {
                self.told.retain(|_, told| *told == Told::Begun);
            }
            self.told.insert(id, Told::Ended);
        }
    }

    fn tell(&self, event: &str, project: &str, deployment: &Deployment, what: &str) {
        let number = deployment.number;
        // Where stdout is full and nobody reads it, only this waits.
        tokio::task::block_in_place(|| {
            self.ui.emit(&json!({
                "event": event,
                "project": project,
                "number": number,
                "id": deployment.id,
                "status": deployment.status,
                "milliseconds": view::work_time(deployment).map(|took| took.as_millis()),
            }));
            self.ui
                .say(format_args!("{project}: deployment {number} {what}"));
        });
    }
}

/// How it ended, in a line.
fn ending(deployment: &Deployment) -> String {
    let took = view::work_time(deployment).unwrap_or_default();
    let ended = match deployment.status {
        DeploymentStatus::Success => "is live".to_owned(),
        status => status.to_string(),
    };
    let why = deployment.failure.as_ref().map(Failure::message);
    let why = why.map_or(String::new(), |why| format!(": {why}"));
    format!("{ended} after {}{why}", view::time(took))
}
