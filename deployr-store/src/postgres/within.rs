//! Deploying as a part of the caller's own transaction.

use deployr_core::model::{Actor, Deployment};
use deployr_core::store::{NewDeployment, StoreResult};
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgTransaction};

use super::PgStore;
use super::calls::Tx;
use super::deployments;
use super::query::execute;
use crate::error::DbResult;

impl PgStore {
    /// As [`create_deployment`](deployr_core::store::Deployments::create_deployment), in a
    /// transaction of the caller's on the same database: the caller's own rows and the
    /// deployment are committed together, or neither is.
    ///
    /// After an error the transaction goes on as if the call had not been made. Until it
    /// ends, other calls for the same project wait, and time out after 3 s: let it be short.
    /// It must be `READ COMMITTED`, which is what Postgres begins with. Once it is committed,
    /// call [`Engine::announce`](deployr_core::engine::Engine::announce), or the deployment begins
    /// only with the next poll of a worker. What to deploy is made by
    /// [`Engine::new_deployment`](deployr_core::engine::Engine::new_deployment).
    ///
    /// ```no_run
    /// # use deployr_core::model::{Actor, ProjectId};
    /// use deployr_core::engine::{DeployRequest, Engine};
    /// use deployr_store::{PgStore, sqlx::PgPool};
    ///
    /// # async fn order(app: PgPool, store: PgStore, engine: Engine, ada: Actor, shop: ProjectId)
    /// # -> Result<(), Box<dyn std::error::Error>> {
    /// let new = engine.new_deployment(&ada, shop, DeployRequest::branch("main")?).await?;
    /// let mut tx = app.begin().await?;
    /// deployr_store::sqlx::query("UPDATE shops SET rolled_out = now() WHERE id = 7")
    ///     .execute(&mut *tx)
    ///     .await?;
    /// store.deploy_in(&mut tx, &ada, &new).await?;
    /// tx.commit().await?;
    /// engine.announce();
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As `create_deployment`. A deadlock with another transaction is
    /// [`Unavailable`](deployr_core::store::StoreError::Unavailable): only the caller can make
    /// the whole transaction again.
    pub async fn deploy_in(
        &self,
        tx: &mut PgTransaction<'_>,
        actor: &Actor,
        new: &NewDeployment,
    ) -> StoreResult<Deployment> {
        within(tx, &self.schema, actor, new)
            .await
            .map_err(|error| error.into_store_error("create_deployment"))
    }
}

async fn within<'a>(
    theirs: &'a mut PgConnection,
    schema: &'a str,
    actor: &'a Actor,
    new: &'a NewDeployment,
) -> DbResult<Deployment> {
    let mut tx = Tx::within(theirs).await?;
    let set = "SELECT current_setting('search_path'), set_config('search_path', $1, true)";
    tx.savepoint(|tx| {
        Box::pin(async move {
            let before = sqlx::query(set).bind(schema).fetch_one(tx.db()).await?;
            let before: String = before.try_get(0)?;
            let deployment = deployments::create(tx, actor, new).await?;
            execute(tx.db(), sqlx::query(set).bind(before)).await?;
            Ok(deployment)
        })
    })
    .await
}
