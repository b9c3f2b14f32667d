//! Domains of projects.

use async_trait::async_trait;
use deployr_core::model::{Actor, AuditAction, Domain, ProjectId};
use deployr_core::store::{Domains, MAX_DOMAINS, NewJob, StoreResult};
use deployr_core::value::{CustomDomain, TenantId};
use sqlx::postgres::PgConnection;

use super::PgStore;
use super::audit::{self, Entry};
use super::calls::Tx;
use super::enqueue;
use super::places;
use super::projects::{self, must_exist};
use super::query::{execute, many, one, scalar};
use super::rows::{self, columns};
use crate::error::{DbResult, conflict, not_found};

#[async_trait]
impl Domains for PgStore {
    async fn add_domain(
        &self,
        actor: &Actor,
        project: ProjectId,
        domain: &CustomDomain,
        token: &str,
    ) -> StoreResult<Domain> {
        self.write("add_domain", |tx| {
            Box::pin(async move {
                must_exist(tx.db(), &actor.tenant, project).await?;
                // Against another that would be the last that it may have.
                projects::lock(tx, project).await?;
                if let Some(present) = find(tx.db(), project, domain).await? {
                    return Ok(present);
                }
                let count = "SELECT count(*) FROM domains WHERE project = $1";
                let count = sqlx::query(count).bind(project.as_uuid());
                let count: Option<i64> = one(tx.db(), count, scalar).await?;
                if count >= Some(i64::from(MAX_DOMAINS)) {
                    return Err(conflict(
                        "domain",
                        domain,
                        "is one more than a project may have",
                    ));
                }
                let statement = sqlx::query(include_str!("sql/add_domain.sql"))
                    .bind(project.as_uuid())
                    .bind(domain.as_str())
                    .bind(actor.tenant.as_str())
                    .bind(token);
                execute(tx.db(), statement).await?;
                note(tx, actor, project, AuditAction::DomainAdded, domain).await?;
                must_find(tx.db(), project, domain).await
            })
        })
        .await
    }

    async fn domains(&self, tenant: &TenantId, project: ProjectId) -> StoreResult<Vec<Domain>> {
        self.call("domains", |db| {
            Box::pin(async move {
                must_exist(db.get(), tenant, project).await?;
                let sql = concat!(
                    "SELECT ",
                    columns!(domains),
                    " FROM domains WHERE project = $1 ORDER BY domain"
                );
                let statement = sqlx::query(sql).bind(project.as_uuid());
                many(db.get(), statement, rows::domain).await
            })
        })
        .await
    }

    async fn domain_holder(&self, domain: &CustomDomain) -> StoreResult<Option<Domain>> {
        self.call("domain_holder", |db| {
            Box::pin(async move {
                let sql = concat!(
                    "SELECT ",
                    columns!(domains),
                    " FROM domains WHERE domain = $1 AND verified_at IS NOT NULL"
                );
                one(
                    db.get(),
                    sqlx::query(sql).bind(domain.as_str()),
                    rows::domain,
                )
                .await
            })
        })
        .await
    }

    async fn verify_domain(
        &self,
        actor: &Actor,
        project: ProjectId,
        domain: &CustomDomain,
        verified: bool,
        job: NewJob,
    ) -> StoreResult<Domain> {
        let job = &job;
        self.write("verify_domain", |tx| {
            Box::pin(async move {
                // Keys before everything else: that is the order of locks.
                places::lock(tx, &places::keys(&job.limits)).await?;
                must_exist(tx.db(), &actor.tenant, project).await?;
                // Whoever else verifies it waits here, and then finds it taken.
                let lock =
                    "SELECT pg_advisory_xact_lock(hashtextextended('deployr domain ' || $1, 0))";
                execute(tx.db(), sqlx::query(lock).bind(domain.as_str())).await?;
                let present = must_find(tx.db(), project, domain).await?;
                if present.verified_at.is_some() == verified {
                    return Ok(present);
                }
                let sql = "UPDATE domains SET verified_at = CASE WHEN $3 THEN now() END
                           WHERE project = $1 AND domain = $2
                             AND NOT ($3 AND EXISTS (
                                 SELECT FROM domains
                                 WHERE domain = $2 AND verified_at IS NOT NULL))";
                let statement = sqlx::query(sql)
                    .bind(project.as_uuid())
                    .bind(domain.as_str())
                    .bind(verified);
                if execute(tx.db(), statement).await? == 0 {
                    return Err(conflict("domain", domain, "is taken"));
                }
                let action = match verified {
                    true => AuditAction::DomainVerified,
                    false => AuditAction::DomainLost,
                };
                note(tx, actor, project, action, domain).await?;
                enqueue::enqueue(tx, &actor.tenant, job).await?;
                must_find(tx.db(), project, domain).await
            })
        })
        .await
    }

    async fn remove_domain(
        &self,
        actor: &Actor,
        project: ProjectId,
        domain: &CustomDomain,
        job: NewJob,
    ) -> StoreResult<()> {
        let job = &job;
        self.write("remove_domain", |tx| {
            Box::pin(async move {
                places::lock(tx, &places::keys(&job.limits)).await?;
                must_exist(tx.db(), &actor.tenant, project).await?;
                let sql = "DELETE FROM domains WHERE project = $1 AND domain = $2
                           RETURNING verified_at IS NOT NULL";
                let statement = sqlx::query(sql)
                    .bind(project.as_uuid())
                    .bind(domain.as_str());
                let verified: Option<bool> = one(tx.db(), statement, scalar).await?;
                let verified = verified.ok_or_else(|| not_found("domain", domain))?;
                note(tx, actor, project, AuditAction::DomainRemoved, domain).await?;
                if verified {
                    enqueue::enqueue(tx, &actor.tenant, job).await?;
                }
                Ok(())
            })
        })
        .await
    }
}

async fn find(
    db: &mut PgConnection,
    project: ProjectId,
    domain: &CustomDomain,
) -> DbResult<Option<Domain>> {
    let sql = concat!(
        "SELECT ",
        columns!(domains),
        " FROM domains WHERE project = $1 AND domain = $2"
    );
    let statement = sqlx::query(sql)
        .bind(project.as_uuid())
        .bind(domain.as_str());
    one(db, statement, rows::domain).await
}

async fn must_find(
    db: &mut PgConnection,
    project: ProjectId,
    domain: &CustomDomain,
) -> DbResult<Domain> {
    let found = find(db, project, domain).await?;
    found.ok_or_else(|| not_found("domain", domain))
}

async fn note(
    tx: &mut Tx<'_>,
    actor: &Actor,
    project: ProjectId,
    action: AuditAction,
    domain: &CustomDomain,
) -> DbResult<()> {
    let entry = Entry {
        tenant: &actor.tenant,
        actor: &actor.name,
        action,
        project,
        deployment: None,
        detail: domain.as_str(),
    };
    audit::note(tx, &entry).await
}
