use super::{Engine, EngineError};
use crate::bus::Hint;
use crate::model::{Actor, Job};
use crate::store::NewJob;
use crate::value::JobKind;

impl Engine {
    /// Enqueues jobs of kinds of your own (see
    /// [`EngineBuilder::job_handler`](super::EngineBuilder::job_handler)), all or none,
    /// and wakes a worker. They are written down when this returns.
    ///
    /// # Errors
    ///
    /// `Conflict` when an id is taken: the same call had been carried out before.
    pub async fn enqueue(&self, actor: &Actor, new: Vec<NewJob>) -> Result<Vec<Job>, EngineError> {
        let engine = self.inner();
        let jobs = engine.store.enqueue_all(&actor.tenant, new).await?;
        engine.bus.publish(Hint::Jobs);
        Ok(jobs)
    }

    /// Has no more jobs of a kind given out, or (`false`) has them given out again: for all
    /// tenants and workers. What runs goes on; what waits keeps its turn. A second call
    /// changes nothing.
    ///
    /// # Errors
    ///
    /// The store's.
    pub async fn pause(&self, kind: &JobKind, paused: bool) -> Result<(), EngineError> {
        self.inner().store.pause(kind, paused).await?;
        if !paused {
            self.inner().bus.publish(Hint::Jobs);
        }
        Ok(())
    }

    /// The kinds that are paused, by name.
    ///
    /// # Errors
    ///
    /// The store's.
    pub async fn paused(&self) -> Result<Vec<JobKind>, EngineError> {
        Ok(self.inner().store.paused().await?)
    }
}
