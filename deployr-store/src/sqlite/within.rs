//! Deploying as a part of the caller's own transaction.

use deployr_core::model::{Actor, Deployment};
use deployr_core::store::{NewDeployment, StoreResult};
use rusqlite::Transaction;

use super::SqliteStore;
use super::deployments;
use super::writer::Tx;

impl SqliteStore {
    /// As [`create_deployment`](deployr_core::store::Deployments::create_deployment), in a
    /// transaction of the caller's on the same file: the caller's own rows and the
    /// deployment are committed together, or neither is.
    ///
    /// It blocks, as all of `rusqlite` does. After an error the transaction goes on as if the
    /// call had not been made. It must be an `IMMEDIATE` one, so that it waits for other
    /// writers before it begins. Once it is committed, call
    /// [`Engine::announce`](deployr_core::engine::Engine::announce), or the deployment begins
    /// only with the next poll of a worker. What to deploy is made by
    /// [`Engine::new_deployment`](deployr_core::engine::Engine::new_deployment).
    ///
    /// ```no_run
    /// # use deployr_core::model::{Actor, ProjectId};
    /// use deployr_core::engine::{DeployRequest, Engine};
    /// use deployr_store::SqliteStore;
    /// use deployr_store::rusqlite::{Connection, TransactionBehavior};
    ///
    /// # async fn order(app: &mut Connection, store: &SqliteStore, engine: Engine, ada: Actor,
    /// #     shop: ProjectId) -> Result<(), Box<dyn std::error::Error>> {
    /// let new = engine.new_deployment(&ada, shop, DeployRequest::branch("main")?).await?;
    /// let tx = app.transaction_with_behavior(TransactionBehavior::Immediate)?;
    /// tx.execute("UPDATE shops SET rolled_out = 1 WHERE id = 7", [])?;
    /// store.deploy_in(&tx, &ada, &new)?;
    /// tx.commit()?;
    /// engine.announce();
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As `create_deployment`.
    pub fn deploy_in(
        &self,
        tx: &Transaction<'_>,
        actor: &Actor,
        new: &NewDeployment,
    ) -> StoreResult<Deployment> {
        let tx = Tx::new(tx, self.0.clock.as_ref());
        tx.savepoint(|tx| deployments::create(tx, actor, new))
            .map_err(|error| error.into_store_error("create_deployment"))
    }
}
