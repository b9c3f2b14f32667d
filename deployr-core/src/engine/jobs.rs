use super::{Engine, EngineError};
use crate::bus::Hint;
use crate::model::{Actor, Job};
use crate::store::NewJob;

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
}
