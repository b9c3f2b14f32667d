use std::time::Duration;

use super::bench::{Bench, TERM, kind, limit};
use super::ops::{Op, line};
use crate::model::{
    Actor, Cause, Claim, Deployment, DeploymentId, Failure, JobId, Labels, Page, ProjectId,
    ReleaseId, ReleaseState, Stage,
};
use crate::store::{ClaimRequest, Due, NewDeployment, NewJob, Outcome, Store};
use crate::system::Clock;
use crate::testing::SeededEntropy;
use crate::value::{Label, TenantId};

/// A claim that was given out, and what it is for.
#[derive(Debug, Clone, Copy)]
struct Held {
    claim: Claim,
    deployment: Option<DeploymentId>,
    /// How many lines were written, as the worker believes.
    lines: i64,
}

/// What the random walk knows: enough to ask for things that exist, most of the time.
pub(super) struct Walk {
    pub(super) bench: Bench,
    dice: SeededEntropy,
    pub(super) actors: Vec<Actor>,
    projects: Vec<(usize, ProjectId)>,
    deployments: Vec<(usize, DeploymentId, JobId)>,
    pub(super) jobs: Vec<JobId>,
    held: Vec<Held>,
    lost: Vec<Held>,
    last: Option<Op>,
}

impl Walk {
    pub(super) async fn begin(store: &dyn Store, bench: Bench, seed: u64) -> Self {
        let eve = Actor::new(TenantId::parse("other").unwrap(), "eve");
        let actors = vec![bench.actor.clone(), eve];
        let mut projects = Vec::new();
        for (owner, slug) in [(0, "app"), (0, "shop"), (1, "blog")] {
            let new = bench.new_project(slug);
            for store in [store, &*bench.store] {
                store
                    .create_project(&actors[owner], new.clone())
                    .await
                    .unwrap();
            }
            projects.push((owner, new.id));
        }
        Self {
            bench,
            dice: SeededEntropy::new(seed),
            actors,
            projects,
            deployments: Vec::new(),
            jobs: Vec::new(),
            held: Vec::new(),
            lost: Vec::new(),
            last: None,
        }
    }

    fn pick<'a, T>(&self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.dice.below(from.len()))
    }

    /// The next call.
    pub(super) async fn choose(&self) -> Op {
        // Odd, so that nothing ever falls due to the microsecond.
        let wait = Duration::from_micros(1_000_003 * (1 + self.dice.below(20) as u64));
        let op = match self.dice.below(100) {
            0..12 => Some(self.deploy().await),
            12..17 => Some(self.enqueue()),
            17..32 => Some(self.claim()),
            32..37 => Some(Op::Wait(wait)),
            37..41 => Some(Op::Sweep([Duration::ZERO, TERM][self.dice.below(2)])),
            41..43 => self
                .pick(&self.deployments)
                .map(|&(owner, id, _)| Op::Cancel(self.actors[owner].clone(), id)),
            43..44 => self
                .pick(&self.deployments)
                .map(|&(owner, id, _)| Op::Cancel(self.actors[1 - owner].clone(), id)),
            44..47 => self.last.clone(),
            47..48 => Some(Op::Pause(kind("work"), self.dice.below(2) == 0)),
            which => {
                let held = if which < 54 { &self.lost } else { &self.held };
                match self.pick(held) {
                    Some(held) => Some(self.work(*held).await),
                    None => None,
                }
            }
        };
        op.unwrap_or_else(|| self.claim())
    }

    async fn deploy(&self) -> Op {
        let &(owner, project) = self.pick(&self.projects).expect("there are projects");
        let actor = &self.actors[owner];
        let mut new = self.bench.new_deployment(project);
        new.supersede = self.dice.below(4) == 0;
        if self.dice.below(8) == 0 {
            // Nobody carries these out: they wait until it is too late.
            new.job.kind = kind("stuck");
            new.job.start_within = TERM * 3;
        } else if self.dice.below(4) == 0 {
            new.job.start_within = TERM;
        }
        if self.dice.below(4) == 0 {
            let page = Page::first(100);
            let kept = self
                .bench
                .store
                .releases(&actor.tenant, project, page)
                .await
                .unwrap();
            if let Some(release) = self.pick(&kept) {
                new.cause = Cause::Rollback {
                    release: release.id,
                };
            }
        }
        Op::Deploy(actor.clone(), new)
    }

    fn enqueue(&self) -> Op {
        let owner = self.dice.below(2);
        let keys = [&[][..], &[("a", 1)], &[("b", 2)], &[("a", 1), ("b", 2)]];
        let keys = keys[self.dice.below(4)];
        let limits = keys.iter().map(|(name, max)| limit(name, *max));
        let limits: Vec<_> = limits.collect();
        let new = || NewJob {
            due: [Due::Now, Due::After(TERM)][self.dice.below(2)],
            priority: [-1, 0, 0, 3][self.dice.below(4)],
            needs: self.labels(),
            limits: limits.clone(),
            ..self.bench.new_job("work", None)
        };
        let mut batch: Vec<_> = (0..self.dice.below(3)).map(|_| new()).collect();
        if self.dice.below(6) == 0
            && let Some(&id) = self.pick(&self.jobs)
        {
            batch.push(NewJob { id, ..new() });
        }
        Op::Enqueue(self.actors[owner].tenant.clone(), batch)
    }

    fn labels(&self) -> Labels {
        let gpu = Label::parse("gpu").expect("a legal label");
        Labels::from_iter((self.dice.below(3) == 0).then_some(gpu))
    }

    fn claim(&self) -> Op {
        let kinds = match self.dice.below(3) {
            0 => vec![kind("notify")],
            _ => vec![kind("work"), kind("deploy")],
        };
        let (worker, limit) = (self.bench.worker_id(), 1 + self.dice.below(3) as u32);
        let next = ClaimRequest {
            worker,
            kinds,
            limit,
            offers: self.labels(),
            term: TERM,
        };
        Op::Exchange(self.done(), Some(next))
    }

    /// Some jobs to hand in; rightly or not.
    fn done(&self) -> Vec<Claim> {
        let held = |_| self.pick([&self.held, &self.lost][usize::from(self.dice.below(4) == 0)]);
        let held = (0..self.dice.below(4)).filter_map(held);
        // Most of what is held is a deployment's, and refused.
        let plain = |held: &&Held| held.deployment.is_none() || self.dice.below(4) == 0;
        held.filter(plain).map(|held| held.claim).collect()
    }

    /// What a worker may do with a claim.
    async fn work(&self, held: Held) -> Op {
        let claim = held.claim;
        if let Some(id) = held.deployment
            && self.dice.below(10) < 7
        {
            return self.next_step(claim, id).await;
        }
        let retry = [Some(Duration::ZERO), Some(TERM), None][self.dice.below(3)];
        match (held.deployment, self.dice.below(20)) {
            (_, 0..2) => Op::Beat(
                self.held
                    .iter()
                    .chain(&self.lost)
                    .map(|h| h.claim)
                    .collect(),
            ),
            (_, 2) => Op::Release(claim),
            (_, 3..5) => Op::Fail(claim, retry),
            (None, _) => Op::Exchange([vec![claim], self.done()].concat(), None),
            (Some(id), 5) => {
                let numbers = vec![1 + self.dice.below(3) as i64, 1 + self.dice.below(9) as i64];
                Op::Gone(claim, id, numbers)
            }
            (Some(id), 6..11) => Op::Enter(claim, id, Stage::ALL[self.dice.below(7)]),
            (Some(id), 11..14) => {
                let first = held.lines + 1 - self.dice.below(2) as i64;
                let number = self.dice.next() % 1_000;
                let text = |n| line(self.bench.clock.now(), format!("line {number} {n}"));
                Op::Append(claim, id, first.max(1), (0..3).map(text).collect())
            }
            (Some(id), 14..16) => match self.found(id).await.0.cause {
                Cause::Deploy { .. } => Op::Record(claim, id, Box::new(self.bench.new_release())),
                // A rollback places nothing.
                Cause::Rollback { .. } => Op::Enter(claim, id, Stage::Release),
            },
            (Some(id), _) => Op::Finish(claim, id, self.outcome(id).await),
        }
    }

    /// What a worker does that has no trouble.
    async fn next_step(&self, claim: Claim, id: DeploymentId) -> Op {
        let (deployment, release) = self.found(id).await;
        match (deployment.stage, release) {
            (_, Some(release)) if deployment.stage >= Stage::Release => {
                Op::Finish(claim, id, Outcome::Success { release })
            }
            (_, Some(_)) => Op::Enter(claim, id, Stage::Release),
            (Stage::Queued, None) => Op::Enter(claim, id, Stage::Checkout),
            (Stage::Checkout, None) => Op::Enter(claim, id, Stage::Build),
            (Stage::Build, None) => Op::Enter(claim, id, Stage::Release),
            _ => Op::Record(claim, id, Box::new(self.bench.new_release())),
        }
    }

    async fn outcome(&self, id: DeploymentId) -> Outcome {
        match self.dice.below(6) {
            0 => Outcome::Failed(Failure::Fault {
                message: "no disk".to_owned(),
            }),
            1 => Outcome::Failed(Failure::Verdict {
                code: "unhealthy".to_owned(),
                message: "no answer".to_owned(),
            }),
            2 => Outcome::Cancelled,
            _ => {
                let (_, release) = self.found(id).await;
                Outcome::Success {
                    release: release.unwrap_or_else(|| self.bench.release_id()),
                }
            }
        }
    }

    /// A deployment, and a release with which it could succeed.
    async fn found(&self, id: DeploymentId) -> (Deployment, Option<ReleaseId>) {
        let mut known = self.deployments.iter();
        let &(owner, ..) = known
            .find(|(_, known, _)| *known == id)
            .expect("it is known");
        let (store, tenant) = (&self.bench.store, &self.actors[owner].tenant);
        let deployment = store.deployment(tenant, id).await.unwrap();
        let release = match deployment.cause {
            Cause::Rollback { release } => Some(release),
            Cause::Deploy { .. } => deployment.release,
        };
        let Some(release) = release else {
            return (deployment, None);
        };
        let row = store.release_by_id(tenant, release).await.unwrap();
        (
            deployment,
            Some(release).filter(|_| row.state != ReleaseState::Gone),
        )
    }

    /// Learns from a call that was made.
    pub(super) async fn note(&mut self, op: &Op, leases: &[crate::model::Lease]) {
        match op {
            Op::Deploy(
                actor,
                NewDeployment {
                    id,
                    job,
                    notify_job,
                    ..
                },
            ) => {
                let owner = usize::from(*actor != self.actors[0]);
                let known = self.deployments.iter().any(|(_, known, _)| known == id);
                if !known && self.exists(owner, *id).await {
                    self.deployments.push((owner, *id, job.id));
                    self.jobs.extend([job.id, *notify_job]);
                }
            }
            Op::Enqueue(_, new) => {
                for id in new.iter().map(|new| new.id) {
                    if !self.jobs.contains(&id) {
                        self.jobs.push(id);
                    }
                }
            }
            Op::Append(claim, _, first, lines) => {
                let end = first + lines.len() as i64 - 1;
                for held in self.held.iter_mut().filter(|held| held.claim == *claim) {
                    held.lines = held.lines.max(end);
                }
            }
            _ => {}
        }
        for lease in leases {
            // What an earlier claim of the job may still try is all in vain.
            let (lost, held) = self
                .held
                .drain(..)
                .partition(|held: &Held| held.claim.job == lease.job.id);
            (self.lost, self.held) = ([std::mem::take(&mut self.lost), lost].concat(), held);
            let of_job = self
                .deployments
                .iter()
                .find(|(_, _, job)| *job == lease.job.id);
            let deployment = of_job.map(|&(_, id, _)| id);
            self.held.push(Held {
                claim: lease.claim,
                deployment,
                lines: 0,
            });
        }
        let mut held = Vec::new();
        for one in std::mem::take(&mut self.held) {
            if !self.is_over(&one).await {
                held.push(one);
            }
        }
        self.held = held;
        // What came of a claim's end is asked for again at once, or never.
        let once = matches!(
            op,
            Op::Wait(_) | Op::Exchange(_, Some(_)) | Op::Cancel(..) | Op::Sweep(_) | Op::Pause(..)
        );
        self.last = (!once).then(|| op.clone());
    }

    async fn exists(&self, owner: usize, id: DeploymentId) -> bool {
        self.bench
            .store
            .deployment(&self.actors[owner].tenant, id)
            .await
            .is_ok()
    }

    /// Whether the job has ended or is back in the queue.
    async fn is_over(&self, held: &Held) -> bool {
        for actor in &self.actors {
            if let Ok(job) = self.bench.store.job(&actor.tenant, held.claim.job).await {
                return job.worker.is_none();
            }
        }
        true
    }
}
