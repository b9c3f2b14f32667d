//! Releases. Whoever changes some of a project's holds the project.

use async_trait::async_trait;
use deployr_core::model::{
    Claim, Deployment, DeploymentId, Page, ProjectId, Release, ReleaseId, ReleaseState,
};
use deployr_core::store::{LiveRelease, NewRelease, Releases, StoreResult};
use deployr_core::value::TenantId;
use sqlx::postgres::PgConnection;

use super::PgStore;
use super::calls::Tx;
use super::jobs;
use super::moves;
use super::projects::{self, must_exist};
use super::query::{before, execute, many, one, text, to_json};
use super::rows::{self, columns};
use crate::error::{DbResult, conflict, corrupt, not_found};

#[async_trait]
impl Releases for PgStore {
    async fn record_release(
        &self,
        claim: &Claim,
        deployment: DeploymentId,
        new: NewRelease,
    ) -> StoreResult<Release> {
        let new = &new;
        self.write("record_release", |tx| {
            Box::pin(record(tx, claim, deployment, new))
        })
        .await
    }

    async fn release_by_id(&self, tenant: &TenantId, id: ReleaseId) -> StoreResult<Release> {
        self.call("release_by_id", |db| Box::pin(find(db.get(), tenant, id)))
            .await
    }

    async fn releases(
        &self,
        tenant: &TenantId,
        project: ProjectId,
        page: Page<ReleaseId>,
    ) -> StoreResult<Vec<Release>> {
        let after = before(page.after.map(|id| id.as_uuid()));
        let limit = i64::from(page.limit());
        self.call("releases", |db| {
            Box::pin(async move {
                must_exist(db.get(), tenant, project).await?;
                let sql = concat!(
                    "SELECT ",
                    columns!(releases),
                    " FROM releases WHERE project = $1 AND id < $2 ORDER BY id DESC LIMIT $3"
                );
                let statement = sqlx::query(sql)
                    .bind(project.as_uuid())
                    .bind(after)
                    .bind(limit);
                many(db.get(), statement, rows::release).await
            })
        })
        .await
    }

    async fn live_releases(&self, page: Page<ReleaseId>) -> StoreResult<Vec<LiveRelease>> {
        let after = before(page.after.map(|id| id.as_uuid()));
        let limit = i64::from(page.limit());
        self.call("live_releases", |db| {
            Box::pin(async move {
                let sql = include_str!("sql/live_releases.sql");
                let statement = sqlx::query(sql).bind(after).bind(limit);
                many(db.get(), statement, rows::live_release).await
            })
        })
        .await
    }

    async fn releases_on_target(
        &self,
        tenant: &TenantId,
        project: ProjectId,
    ) -> StoreResult<Vec<Release>> {
        self.call("releases_on_target", |db| {
            Box::pin(async move {
                must_exist(db.get(), tenant, project).await?;
                let sql = concat!(
                    "SELECT ",
                    columns!(releases),
                    " FROM releases WHERE project = $1 AND state <> 'gone' ORDER BY id DESC"
                );
                let statement = sqlx::query(sql).bind(project.as_uuid());
                many(db.get(), statement, rows::release).await
            })
        })
        .await
    }

    async fn mark_gone(
        &self,
        claim: &Claim,
        deployment: DeploymentId,
        numbers: &[i64],
    ) -> StoreResult<()> {
        self.write("mark_gone", |tx| {
            Box::pin(async move {
                let (_, deployment) = jobs::held_for(tx, claim, deployment).await?;
                projects::lock(tx, deployment.project).await?;
                let sql = "UPDATE releases SET state = 'gone'
                           WHERE project = $1 AND number = ANY($2) AND state <> 'live'";
                let statement = sqlx::query(sql)
                    .bind(deployment.project.as_uuid())
                    .bind(numbers);
                execute(tx.db(), statement).await?;
                Ok(())
            })
        })
        .await
    }
}

async fn find(db: &mut PgConnection, tenant: &TenantId, id: ReleaseId) -> DbResult<Release> {
    let sql = concat!(
        "SELECT ",
        columns!(releases),
        " FROM releases WHERE id = $1 AND tenant = $2"
    );
    let statement = sqlx::query(sql).bind(id.as_uuid()).bind(tenant.as_str());
    one(db, statement, rows::release)
        .await?
        .ok_or_else(|| not_found("release", &id))
}

async fn record(
    tx: &mut Tx<'_>,
    claim: &Claim,
    id: DeploymentId,
    new: &NewRelease,
) -> DbResult<Release> {
    let (_, mut deployment) = jobs::held_for(tx, claim, id).await?;
    projects::lock(tx, deployment.project).await?;
    let sql = concat!(
        "SELECT ",
        columns!(releases),
        " FROM releases WHERE id = $1"
    );
    let there = sqlx::query(sql).bind(new.id.as_uuid());
    match one(tx.db(), there, rows::release).await? {
        Some(release) if release.deployment == id => return Ok(release),
        Some(_) => return Err(conflict("release", &new.id, "is taken")),
        None => {}
    }
    moves::forget_placed(tx, &deployment).await?;
    let statement = sqlx::query(include_str!("sql/insert_release.sql"))
        .bind(new.id.as_uuid())
        .bind(deployment.tenant.as_str())
        .bind(deployment.project.as_uuid())
        .bind(id.as_uuid())
        .bind(new.target.as_str())
        .bind(new.commit.as_str())
        .bind(text(&new.digest))
        .bind(to_json(&new.recipe)?)
        .bind(new.env.as_bytes());
    let release = one(tx.db(), statement, rows::release)
        .await?
        .ok_or_else(|| corrupt("a new release", &"it is not there"))?;
    deployment.release = Some(new.id);
    moves::save(tx, &deployment).await?;
    Ok(release)
}

/// Refuses a release that one cannot go back to.
pub(super) async fn must_be_kept(
    db: &mut PgConnection,
    tenant: &TenantId,
    project: ProjectId,
    id: ReleaseId,
) -> DbResult<()> {
    let release = find(db, tenant, id).await?;
    match release.state {
        _ if release.project != project => Err(not_found("release", &id)),
        ReleaseState::Kept | ReleaseState::Live => Ok(()),
        ReleaseState::Placed | ReleaseState::Gone => {
            Err(conflict("release", &id, "is no longer on its target"))
        }
    }
}

/// Makes a release the live one by the turn of `deployment`; keeps the one before.
pub(super) async fn go_live(
    tx: &mut Tx<'_>,
    deployment: &Deployment,
    id: ReleaseId,
) -> DbResult<()> {
    projects::lock(tx, deployment.project).await?;
    let release = find(tx.db(), &deployment.tenant, id).await?;
    if release.project != deployment.project || release.state == ReleaseState::Gone {
        return Err(not_found("release", &id));
    }
    let sql = "UPDATE releases SET state = 'kept' WHERE project = $1 AND state = 'live'";
    let keep = sqlx::query(sql).bind(deployment.project.as_uuid());
    execute(tx.db(), keep).await?;
    let sql = "UPDATE releases SET state = 'live', live_turn = $2 WHERE id = $1";
    let live = sqlx::query(sql).bind(id.as_uuid()).bind(deployment.number);
    execute(tx.db(), live).await?;
    Ok(())
}
