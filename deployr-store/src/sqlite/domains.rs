//! Domains of projects.

use async_trait::async_trait;
use deployr_core::model::{Actor, AuditAction, Domain, ProjectId};
use deployr_core::store::{Domains, MAX_DOMAINS, NewJob, StoreResult};
use deployr_core::value::{CustomDomain, TenantId};
use rusqlite::Connection;

use super::SqliteStore;
use super::audit::{self, Entry};
use super::jobs;
use super::projects::must_exist;
use super::query::{execute, exists, many, one, scalar};
use super::rows;
use super::writer::Tx;
use crate::error::{DbResult, conflict, not_found};

#[async_trait]
impl Domains for SqliteStore {
    async fn add_domain(
        &self,
        actor: &Actor,
        project: ProjectId,
        domain: &CustomDomain,
        token: &str,
    ) -> StoreResult<Domain> {
        let (actor, domain, token) = (actor.clone(), domain.clone(), token.to_owned());
        self.write("add_domain", move |tx| {
            must_exist(tx.db, &actor.tenant, project)?;
            if let Some(present) = find(tx.db, project, &domain)? {
                return Ok(present);
            }
            let count = "SELECT count(*) FROM domains WHERE project = ?1";
            let count: Option<u32> = one(tx.db, count, [project.as_uuid()], scalar)?;
            if count >= Some(MAX_DOMAINS) {
                return Err(conflict(
                    "domain",
                    &domain,
                    "is one more than a project may have",
                ));
            }
            execute(
                tx.db,
                include_str!("sql/add_domain.sql"),
                (
                    project.as_uuid(),
                    domain.as_str(),
                    actor.tenant.as_str(),
                    token,
                    tx.now(),
                ),
            )?;
            note(tx, &actor, project, AuditAction::DomainAdded, &domain)?;
            must_find(tx.db, project, &domain)
        })
        .await
    }

    async fn domains(&self, tenant: &TenantId, project: ProjectId) -> StoreResult<Vec<Domain>> {
        let tenant = tenant.clone();
        self.read("domains", move |db| {
            must_exist(db, &tenant, project)?;
            let sql = "SELECT * FROM domains WHERE project = ?1 ORDER BY domain";
            many(db, sql, [project.as_uuid()], rows::domain)
        })
        .await
    }

    async fn domain_holder(&self, domain: &CustomDomain) -> StoreResult<Option<Domain>> {
        let domain = domain.clone();
        self.read("domain_holder", move |db| {
            let sql = "SELECT * FROM domains WHERE domain = ?1 AND verified_at IS NOT NULL";
            one(db, sql, [domain.as_str()], rows::domain)
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
        let (actor, domain) = (actor.clone(), domain.clone());
        self.write("verify_domain", move |tx| {
            must_exist(tx.db, &actor.tenant, project)?;
            let present = must_find(tx.db, project, &domain)?;
            if present.verified_at.is_some() == verified {
                return Ok(present);
            }
            let holder = "SELECT 1 FROM domains WHERE domain = ?1 AND verified_at IS NOT NULL";
            if verified && exists(tx.db, holder, [domain.as_str()])? {
                return Err(conflict("domain", &domain, "is taken"));
            }
            let since = verified.then(|| tx.now());
            let sql = "UPDATE domains SET verified_at = ?3 WHERE project = ?1 AND domain = ?2";
            execute(tx.db, sql, (project.as_uuid(), domain.as_str(), since))?;
            let action = match verified {
                true => AuditAction::DomainVerified,
                false => AuditAction::DomainLost,
            };
            note(tx, &actor, project, action, &domain)?;
            jobs::insert(tx, &actor.tenant, job)?;
            must_find(tx.db, project, &domain)
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
        let (actor, domain) = (actor.clone(), domain.clone());
        self.write("remove_domain", move |tx| {
            must_exist(tx.db, &actor.tenant, project)?;
            let present = must_find(tx.db, project, &domain)?;
            let sql = "DELETE FROM domains WHERE project = ?1 AND domain = ?2";
            execute(tx.db, sql, (project.as_uuid(), domain.as_str()))?;
            note(tx, &actor, project, AuditAction::DomainRemoved, &domain)?;
            if present.verified_at.is_some() {
                jobs::insert(tx, &actor.tenant, job)?;
            }
            Ok(())
        })
        .await
    }
}

fn find(db: &Connection, project: ProjectId, domain: &CustomDomain) -> DbResult<Option<Domain>> {
    let sql = "SELECT * FROM domains WHERE project = ?1 AND domain = ?2";
    one(db, sql, (project.as_uuid(), domain.as_str()), rows::domain)
}

fn must_find(db: &Connection, project: ProjectId, domain: &CustomDomain) -> DbResult<Domain> {
    find(db, project, domain)?.ok_or_else(|| not_found("domain", domain))
}

fn note(
    tx: &Tx<'_>,
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
    audit::note(tx, &entry)
}
