use std::fmt;

use serde::Serialize;

use super::{Engine, EngineError};
use crate::model::{DeploymentId, Job, JobId, JobState, Labels};
use crate::store::{COUNTED, FullKey, KindStats, WorkerSeen};
use crate::system::Timestamp;
use crate::value::{JobKind, Label, TenantId};

/// Why a job is where it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Why {
    /// The job.
    pub job: Job,
    /// All reasons at once; never none.
    pub reasons: Vec<Reason>,
}

/// One reason. Says what it means when it is printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// It is over.
    Over {
        /// How it ended.
        state: JobState,
    },
    /// A worker has it in hand.
    Running {
        /// The machine, where the worker is known.
        node: Option<String>,
        /// Which attempt that is.
        attempt: u32,
    },
    /// Its time has not come: it was put off, or its last attempt had a fault.
    NotDue {
        /// When it comes.
        at: Timestamp,
        /// The fault.
        error: Option<String>,
    },
    /// What it shares with others is taken.
    Full(FullKey),
    /// It has had its turn announced: a scheduler queues it within a second or so.
    Promotion,
    /// No jobs of its kind are begun.
    Paused {
        /// Which kind.
        kind: JobKind,
    },
    /// No worker that lives can carry it out.
    NoWorker {
        /// What it is.
        kind: JobKind,
        /// What it needs that no living worker of its kind offers together.
        needs: Labels,
        /// How many live.
        alive: usize,
    },
    /// Others come before it.
    Behind {
        /// How many; counted up to 1,000.
        jobs: u32,
    },
    /// All workers that could carry it out have their hands full.
    Busy {
        /// How many could.
        workers: usize,
        /// How many jobs they have at a time, together.
        places: u64,
    },
    /// Nothing keeps it: a worker begins it now.
    Ready,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Over { state } => write!(f, "it is over: {state}"),
            Self::Running { node, attempt } => {
                let node = node.as_deref().unwrap_or("a worker that is not known");
                write!(f, "it runs on {node}, attempt {attempt}")
            }
            Self::NotDue { at, error: None } => write!(f, "it is not to begin before {at:.0}"),
            Self::NotDue {
                at,
                error: Some(error),
            } => write!(f, "it is tried again at {at:.0}; the last attempt: {error}"),
            Self::Full(full) => {
                let (key, max, taken) = (&full.key, full.max, full.taken);
                write!(
                    f,
                    "`{key}` has room for {max} at a time, and {taken} have it"
                )?;
                match &*full.holders {
                    [] => f.write_str(" (of others)"),
                    own => {
                        let own: Vec<_> = own.iter().map(JobId::to_string).collect();
                        write!(f, ": {}", own.join(", "))
                    }
                }
            }
            Self::Promotion => f.write_str("its turn has come; it is queued within a second or so"),
            Self::Paused { kind } => write!(f, "jobs of the kind `{kind}` are paused"),
            Self::NoWorker { kind, needs, alive } if needs.is_empty() => write!(
                f,
                "no worker carries out jobs of the kind `{kind}`, of {alive} that live"
            ),
            Self::NoWorker { kind, needs, alive } => {
                let needs: Vec<_> = needs.iter().map(Label::as_str).collect();
                let needs = needs.join(", ");
                write!(
                    f,
                    "no worker carries out jobs of the kind `{kind}` and offers {needs}, of {alive} \
                     that live"
                )
            }
            Self::Behind { jobs: COUNTED } => {
                write!(f, "jobs that come before it: {COUNTED} or more")
            }
            Self::Behind { jobs } => write!(f, "jobs that come before it: {jobs}"),
            Self::Busy { workers, places } => write!(
                f,
                "every worker that could begin it is busy (there are {workers}, with {places} places)"
            ),
            Self::Ready => f.write_str("nothing keeps it: a worker begins it now"),
        }
    }
}

impl Engine {
    /// Why a job waits, or what has become of it.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    pub async fn why(&self, tenant: &TenantId, id: JobId) -> Result<Why, EngineError> {
        let store = &self.inner().store;
        let standing = store.standing(tenant, id).await?;
        let workers = store.workers().await?;
        let job = standing.job;
        let reasons = match job.state {
            state if state.is_final() => vec![Reason::Over { state }],
            JobState::Running => {
                let holder = |worker: &&WorkerSeen| Some(worker.report.id) == job.worker;
                let node = workers.iter().find(holder);
                vec![Reason::Running {
                    node: node.map(|worker| worker.report.node.clone()),
                    attempt: job.attempt,
                }]
            }
            JobState::Pending if job.run_at > standing.now => vec![Reason::NotDue {
                at: job.run_at,
                error: job.error.clone(),
            }],
            JobState::Pending if standing.full.is_empty() => vec![Reason::Promotion],
            JobState::Pending => standing.full.into_iter().map(Reason::Full).collect(),
            _ if standing.before > 0 => vec![Reason::Behind {
                jobs: standing.before,
            }],
            _ => Vec::new(),
        };
        let mut why = Why { job, reasons };
        if !why.job.state.is_final() && why.job.state != JobState::Running {
            why.of_workers(standing.paused, &workers);
        }
        if why.reasons.is_empty() {
            why.reasons.push(Reason::Ready);
        }
        Ok(why)
    }

    /// Why a deployment waits, or what has become of it: of the job that carries it out.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    pub async fn why_deployment(
        &self,
        tenant: &TenantId,
        id: DeploymentId,
    ) -> Result<Why, EngineError> {
        let deployment = self.inner().store.deployment(tenant, id).await?;
        self.why(tenant, deployment.job).await
    }

    /// How full the queue is, by kind.
    ///
    /// # Errors
    ///
    /// The store's.
    pub async fn queue_by_kind(&self) -> Result<Vec<KindStats>, EngineError> {
        Ok(self.inner().store.queue_by_kind().await?)
    }

    /// The workers that are known, the oldest first; those that were lost too, for a day.
    ///
    /// # Errors
    ///
    /// The store's.
    pub async fn workers(&self) -> Result<Vec<WorkerSeen>, EngineError> {
        Ok(self.inner().store.workers().await?)
    }
}

impl Why {
    /// Adds what would keep it from being begun even if its turn had come.
    fn of_workers(&mut self, paused: bool, workers: &[WorkerSeen]) {
        let job = &self.job;
        if paused {
            let kind = job.kind.clone();
            self.reasons.push(Reason::Paused { kind });
        }
        let alive: Vec<_> = workers.iter().filter(|one| one.lives()).collect();
        let able = |worker: &&&WorkerSeen| {
            let report = &worker.report;
            report.kinds.contains(&job.kind) && job.needs.is_subset(&report.offers)
        };
        let able: Vec<_> = alive.iter().filter(able).collect();
        let busy = |one: &&&WorkerSeen| one.report.held >= one.report.concurrency;
        if able.is_empty() {
            self.reasons.push(Reason::NoWorker {
                kind: job.kind.clone(),
                needs: job.needs.clone(),
                alive: alive.len(),
            });
        } else if able.iter().all(busy) && job.state == JobState::Queued {
            let places = able.iter().map(|one| u64::from(one.report.concurrency));
            self.reasons.push(Reason::Busy {
                workers: able.len(),
                places: places.sum(),
            });
        }
    }
}
