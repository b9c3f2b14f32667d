//! Releases.

use async_trait::async_trait;
use deployr_core::model::{
    Claim, Deployment, DeploymentId, Page, ProjectId, Release, ReleaseId, ReleaseState,
};
use deployr_core::store::{LiveRelease, NewRelease, Releases, StoreResult};
use deployr_core::value::TenantId;
use rusqlite::Connection;

use super::SqliteStore;
use super::jobs;
use super::moves;
use super::projects::must_exist;
use super::query::{before, execute, many, one, to_json};
use super::rows;
use super::writer::Tx;
use crate::error::{DbResult, conflict, not_found};

#[async_trait]
impl Releases for SqliteStore {
    async fn record_release(
        &self,
        claim: &Claim,
        deployment: DeploymentId,
        new: NewRelease,
    ) -> StoreResult<Release> {
        let claim = *claim;
        self.write("record_release", move |tx| {
            record(tx, &claim, deployment, &new)
        })
        .await
    }

    async fn release_by_id(&self, tenant: &TenantId, id: ReleaseId) -> StoreResult<Release> {
        let tenant = tenant.clone();
        self.read("release_by_id", move |db| find(db, &tenant, id))
            .await
    }

    async fn releases(
        &self,
        tenant: &TenantId,
        project: ProjectId,
        page: Page<ReleaseId>,
    ) -> StoreResult<Vec<Release>> {
        let tenant = tenant.clone();
        self.read("releases", move |db| {
            must_exist(db, &tenant, project)?;
            many(
                db,
                "SELECT * FROM releases WHERE project = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3",
                (
                    project.as_uuid(),
                    before(page.after.map(|id| id.as_uuid())),
                    page.limit(),
                ),
                rows::release,
            )
        })
        .await
    }

    async fn live_releases(&self, page: Page<ReleaseId>) -> StoreResult<Vec<LiveRelease>> {
        self.read("live_releases", move |db| {
            let sql = include_str!("sql/live_releases.sql");
            many(
                db,
                sql,
                (before(page.after.map(|id| id.as_uuid())), page.limit()),
                rows::live_release,
            )
        })
        .await
    }

    async fn releases_on_target(
        &self,
        tenant: &TenantId,
        project: ProjectId,
    ) -> StoreResult<Vec<Release>> {
        let tenant = tenant.clone();
        self.read("releases_on_target", move |db| {
            must_exist(db, &tenant, project)?;
            let sql = "SELECT * FROM releases WHERE project = ?1 AND state <> 'gone'
                       ORDER BY id DESC";
            many(db, sql, [project.as_uuid()], rows::release)
        })
        .await
    }

    async fn mark_gone(
        &self,
        claim: &Claim,
        deployment: DeploymentId,
        numbers: &[i64],
    ) -> StoreResult<()> {
        let (claim, numbers) = (*claim, numbers.to_vec());
        self.write("mark_gone", move |tx| {
            let (_, deployment) = jobs::held_for(tx.db, &claim, deployment)?;
            for number in numbers {
                execute(
                    tx.db,
                    "UPDATE releases SET state = 'gone'
                     WHERE project = ?1 AND number = ?2 AND state <> 'live'",
                    (deployment.project.as_uuid(), number),
                )?;
            }
            Ok(())
        })
        .await
    }
}

fn find(db: &Connection, tenant: &TenantId, id: ReleaseId) -> DbResult<Release> {
    let sql = "SELECT * FROM releases WHERE id = ?1 AND tenant = ?2";
    one(db, sql, (id.as_uuid(), tenant.as_str()), rows::release)?
        .ok_or_else(|| not_found("release", &id))
}

fn record(tx: &Tx<'_>, claim: &Claim, id: DeploymentId, new: &NewRelease) -> DbResult<Release> {
    let (_, mut deployment) = jobs::held_for(tx.db, claim, id)?;
    let sql = "SELECT * FROM releases WHERE id = ?1";
    match one(tx.db, sql, [new.id.as_uuid()], rows::release)? {
        Some(release) if release.deployment == id => return Ok(release),
        Some(_) => return Err(conflict("release", &new.id, "is taken")),
        None => {}
    }
    moves::forget_placed(tx, &deployment)?;
    execute(
        tx.db,
        include_str!("sql/insert_release.sql"),
        (
            new.id.as_uuid(),
            deployment.tenant.as_str(),
            deployment.project.as_uuid(),
            id.as_uuid(),
            new.target.as_str(),
            new.commit.as_str(),
            &new.digest,
            to_json(&new.recipe)?,
            new.env.as_bytes(),
            tx.now(),
        ),
    )?;
    deployment.release = Some(new.id);
    moves::save(tx, &deployment)?;
    find(tx.db, &deployment.tenant, new.id)
}

/// Refuses a release that one cannot go back to.
pub(super) fn must_be_kept(
    db: &Connection,
    tenant: &TenantId,
    project: ProjectId,
    id: ReleaseId,
) -> DbResult<()> {
    let release = find(db, tenant, id)?;
    match release.state {
        _ if release.project != project => Err(not_found("release", &id)),
        ReleaseState::Kept | ReleaseState::Live => Ok(()),
        ReleaseState::Placed | ReleaseState::Gone => {
            Err(conflict("release", &id, "is no longer on its target"))
        }
    }
}

/// Makes a release the live one by the turn of `deployment`; keeps the one before.
pub(super) fn go_live(tx: &Tx<'_>, deployment: &Deployment, id: ReleaseId) -> DbResult<()> {
    let release = find(tx.db, &deployment.tenant, id)?;
    if release.project != deployment.project || release.state == ReleaseState::Gone {
        return Err(not_found("release", &id));
    }
    execute(
        tx.db,
        "UPDATE releases SET state = 'kept' WHERE project = ?1 AND state = 'live'",
        [deployment.project.as_uuid()],
    )?;
    execute(
        tx.db,
        "UPDATE releases SET state = 'live', live_turn = ?2 WHERE id = ?1",
        (id.as_uuid(), deployment.number),
    )?;
    Ok(())
}
