use async_trait::async_trait;

use super::MemoryStore;
use super::state::{conflict, not_found};
use crate::model::{Actor, AuditAction, Domain, ProjectId};
use crate::store::{Domains, MAX_DOMAINS, NewJob, StoreResult};
use crate::value::{CustomDomain, TenantId};

#[async_trait]
impl Domains for MemoryStore {
    async fn add_domain(
        &self,
        actor: &Actor,
        project: ProjectId,
        domain: &CustomDomain,
        token: &str,
    ) -> StoreResult<Domain> {
        self.write(|state| {
            state.project(&actor.tenant, project)?;
            let key = (project, domain.clone());
            if let Some(present) = state.domains.get(&key) {
                return Ok(present.clone());
            }
            let there = state.domains.keys().filter(|(id, _)| *id == project);
            if there.count() >= MAX_DOMAINS as usize {
                return Err(conflict(
                    "domain",
                    domain,
                    "is one more than a project may have",
                ));
            }
            let mut others = state.domains.values();
            let of_tenant = others.find(|one| one.tenant == actor.tenant && one.domain == *domain);
            let new = Domain {
                domain: domain.clone(),
                tenant: actor.tenant.clone(),
                project,
                token: of_tenant.map_or(token, |one| &one.token).to_owned(),
                verified_at: None,
                created_at: state.now,
            };
            state.domains.insert(key, new.clone());
            let action = AuditAction::DomainAdded;
            state.audit(
                &actor.tenant,
                &actor.name,
                action,
                project,
                None,
                domain.as_str(),
            );
            Ok(new)
        })
    }

    async fn domains(&self, tenant: &TenantId, project: ProjectId) -> StoreResult<Vec<Domain>> {
        self.read(|state| {
            state.project(tenant, project)?;
            let domains = state.domains.values();
            Ok(domains
                .filter(|one| one.project == project)
                .cloned()
                .collect())
        })
    }

    async fn domain_holder(&self, domain: &CustomDomain) -> StoreResult<Option<Domain>> {
        self.read(|state| {
            let mut domains = state.domains.values();
            let holder = domains.find(|one| one.domain == *domain && one.verified_at.is_some());
            Ok(holder.cloned())
        })
    }

    async fn verify_domain(
        &self,
        actor: &Actor,
        project: ProjectId,
        domain: &CustomDomain,
        verified: bool,
        job: NewJob,
    ) -> StoreResult<Domain> {
        self.write(|state| {
            state.project(&actor.tenant, project)?;
            let (key, now) = ((project, domain.clone()), state.now);
            let found = state.domains.get(&key);
            let mut one = found.cloned().ok_or_else(|| not_found("domain", domain))?;
            if one.verified_at.is_some() == verified {
                return Ok(one);
            }
            let mut others = state.domains.values();
            if verified && others.any(|one| one.domain == *domain && one.verified_at.is_some()) {
                return Err(conflict("domain", domain, "is taken"));
            }
            one.verified_at = verified.then_some(now);
            state.domains.insert(key, one.clone());
            let action = match verified {
                true => AuditAction::DomainVerified,
                false => AuditAction::DomainLost,
            };
            state.audit(
                &actor.tenant,
                &actor.name,
                action,
                project,
                None,
                domain.as_str(),
            );
            state.add_job(&actor.tenant, job, None)?;
            Ok(one)
        })
    }

    async fn remove_domain(
        &self,
        actor: &Actor,
        project: ProjectId,
        domain: &CustomDomain,
        job: NewJob,
    ) -> StoreResult<()> {
        self.write(|state| {
            state.project(&actor.tenant, project)?;
            let removed = state.domains.remove(&(project, domain.clone()));
            let removed = removed.ok_or_else(|| not_found("domain", domain))?;
            let action = AuditAction::DomainRemoved;
            state.audit(
                &actor.tenant,
                &actor.name,
                action,
                project,
                None,
                domain.as_str(),
            );
            if removed.verified_at.is_some() {
                state.add_job(&actor.tenant, job, None)?;
            }
            Ok(())
        })
    }
}
