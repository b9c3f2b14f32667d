//! Somebody who does what a scenario says, and does it again where it came to nothing.

use std::sync::Arc;
use std::time::Duration;

use super::scenario::{Queueing, Step};
use super::strangers::Strangers;
use super::world::{IDLE, World};
use crate::engine::{DeployRequest, EngineError};
use crate::model::{Deployment, DeploymentId, DeploymentStatus, Stage};
use crate::store::StoreError;
use crate::system::Timestamp;

/// How long to wait for an answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Of tokio's clock; nothing takes so long.
const DEADLINE: Duration = Duration::from_secs(30 * 60);

/// A deployment as it was when it was first seen to be over: it never changes again.
#[derive(Debug, Clone)]
pub(super) struct Final {
    pub(super) id: DeploymentId,
    pub(super) status: DeploymentStatus,
    pub(super) finished_at: Option<Timestamp>,
    pub(super) last_line: i64,
}

pub(super) struct Operator {
    world: Arc<World>,
    wanted: usize,
    pub(super) finals: Vec<Final>,
}

impl Operator {
    /// One who has seen some deployments already.
    pub(super) fn new(world: Arc<World>, finals: &[Final]) -> Self {
        Self {
            world,
            wanted: finals.len(),
            finals: finals.to_vec(),
        }
    }

    pub(super) async fn perform(&mut self, steps: &[Step]) {
        for step in steps {
            self.world.witness.tell(format!("operator: {step:?}"));
            match *step {
                Step::Deploy(branch, queueing) => self.deploy(branch, queueing).await,
                Step::Rollback => self.rollback().await,
                Step::CancelAt(stage) => self.cancel(stage).await,
                Step::Wait(pause) => tokio::time::sleep(pause).await,
                Step::Settle => self.settle().await,
                Step::Restart => {
                    self.world.stop().await;
                    self.world.start().await;
                }
                Step::Reboot => self.reboot().await,
            }
        }
    }

    async fn deploy(&mut self, branch: &str, queueing: Queueing) {
        self.wanted += 1;
        let mut request = DeployRequest::branch(branch).unwrap();
        request.keep_waiting = queueing == Queueing::KeepWaiting;
        let project = *self.world.project.get().unwrap();
        while self.world.deployments().await.len() < self.wanted {
            let process = self.world.process();
            let ask = process
                .engine
                .deploy(&self.world.me, project, request.clone());
            let _ = tokio::time::timeout(PATIENCE, ask).await;
        }
    }

    async fn rollback(&mut self) {
        self.wanted += 1;
        let project = *self.world.project.get().unwrap();
        while self.world.deployments().await.len() < self.wanted {
            let process = self.world.process();
            let ask = process.engine.rollback(&self.world.me, project, None);
            if let Ok(Err(
                EngineError::NoEarlierRelease { .. }
                | EngineError::Store(StoreError::Conflict { .. }),
            )) = tokio::time::timeout(PATIENCE, ask).await
            {
                self.wanted -= 1;
            }
        }
    }

    async fn cancel(&mut self, stage: Stage) {
        let newest = async |world: &World| world.deployments().await.pop();
        let Some(Deployment { id, .. }) = newest(&self.world).await else {
            return;
        };
        let has_come = |one: &Deployment| one.stage >= stage || one.status.is_final();
        while !newest(&self.world).await.as_ref().is_some_and(has_come) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let stops =
            |one: &Deployment| one.status == DeploymentStatus::Cancelling || one.status.is_final();
        while !newest(&self.world).await.as_ref().is_some_and(stops) {
            let process = self.world.process();
            let ask = process.engine.cancel(&self.world.me, id, "changed my mind");
            let _ = tokio::time::timeout(PATIENCE, ask).await;
        }
    }

    async fn reboot(&mut self) {
        self.world.process().plan.kill();
        self.world.executor.meddle(&self.world.slug, |target| {
            for release in target.releases.values_mut() {
                release.up = false;
            }
        });
        self.world.ingress.0.forget();
        self.world.start().await;
    }

    /// Waits until everything is over: RELIABILITY 7 and 8, nothing stays stuck.
    pub(super) async fn settle(&mut self) {
        let started = tokio::time::Instant::now();
        loop {
            tokio::time::sleep(IDLE / 2).await;
            let deployments = self.world.deployments().await;
            for one in deployments.iter().filter(|one| one.status.is_final()) {
                self.note_final(one).await;
            }
            let queue = self.world.store.queue_stats().await.unwrap();
            let idle = queue.pending + queue.queued + queue.running == Strangers::COUNT;
            let over = deployments.iter().all(|one| one.status.is_final());
            if over && idle && !self.world.is_astir() {
                break;
            }
            assert!(
                started.elapsed() < DEADLINE,
                "[8] stuck: {queue:?}, {deployments:#?}"
            );
        }
        // For whoever has just woken up to say his last word.
        tokio::time::sleep(Duration::from_secs(3)).await;
    }

    async fn note_final(&mut self, one: &Deployment) {
        if self.finals.iter().any(|known| known.id == one.id) {
            return;
        }
        let last_line = self.world.store.last_line(&self.world.me.tenant, one.id);
        self.finals.push(Final {
            id: one.id,
            status: one.status,
            finished_at: one.finished_at,
            last_line: last_line.await.unwrap(),
        });
    }
}
