use super::{Engine, EngineError};
use crate::bus::Hint;
use crate::model::{Actor, Domain, Project, ProjectId};
use crate::routing::RouteInput;
use crate::store::{NewJob, StoreError};
use crate::value::{CustomDomain, DomainName, InputCode, InvalidValue};

/// What a look at DNS has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainCheck {
    /// The domain, as it stands after the look.
    pub domain: Domain,
    /// What the TXT records at [`challenge`](CustomDomain::challenge) say at present.
    pub found: Vec<String>,
}

impl DomainCheck {
    /// Whether one of them has the token.
    #[must_use]
    pub fn is_shown(&self) -> bool {
        self.found.contains(&self.domain.token)
    }
}

impl Engine {
    /// Notes that a project shall be reached at a domain. It is, once its owner has made a TXT
    /// record at [`challenge`](CustomDomain::challenge) that says the domain's `token`, and
    /// [`check_domain`](Self::check_domain) has found that. A second call gives what is there.
    ///
    /// # Errors
    ///
    /// `NotFound`; `Invalid` for a name below the domain of the ingress; `Conflict` when the
    /// project has too many.
    pub async fn add_domain(
        &self,
        actor: &Actor,
        project: ProjectId,
        domain: &CustomDomain,
    ) -> Result<Domain, EngineError> {
        let engine = self.inner();
        let project = self.project(actor, project).await?;
        if self
            .own_domain(&project)
            .is_some_and(|own| domain.is_within(&own))
        {
            let rule = "must not be the domain in which projects have their names, or below it";
            let code = InputCode::DomainInvalid;
            return Err(InvalidValue::new("domain", code, rule, domain.as_str()).into());
        }
        let mut token = [0; 16];
        engine.entropy.fill(&mut token);
        let token: String = token.iter().map(|byte| format!("{byte:02x}")).collect();
        let added = engine.store.add_domain(actor, project.id, domain, &token);
        Ok(added.await?)
    }

    /// A project's domains, by name.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    pub async fn domains(
        &self,
        actor: &Actor,
        project: ProjectId,
    ) -> Result<Vec<Domain>, EngineError> {
        Ok(self.inner().store.domains(&actor.tenant, project).await?)
    }

    /// Looks whether the record is there; if so, the domain is the project's, and a job of
    /// kind `route` tells the ingress. A domain that is another project's becomes this one's
    /// where the other one's record is gone: who runs a domain decides, not who came first. A
    /// record that is missing takes nothing from a project that has the domain.
    ///
    /// # Errors
    ///
    /// `NotFound` for a domain that was not added; `Conflict` when it is another project's,
    /// whose record is there too; `Missing` without a resolver; a fault when DNS does not answer.
    pub async fn check_domain(
        &self,
        actor: &Actor,
        project: ProjectId,
        domain: &CustomDomain,
    ) -> Result<DomainCheck, EngineError> {
        let engine = self.inner();
        let project = self.project(actor, project).await?;
        let domains = self.domains(actor, project.id).await?;
        let present = domains.into_iter().find(|one| one.domain == *domain);
        let present = present.ok_or_else(|| StoreError::NotFound {
            what: "domain",
            key: domain.to_string(),
        })?;
        let resolver = engine.resolver.as_ref();
        let resolver = resolver.ok_or(EngineError::Missing { part: "resolver" })?;
        let found = resolver.txt(&domain.challenge()).await?;
        let mut check = DomainCheck {
            domain: present,
            found,
        };
        if check.is_shown() {
            check.domain = match self.verify(actor, &project, domain, true).await {
                Err(EngineError::Store(StoreError::Conflict { .. })) => {
                    self.take_from_holder(domain, &check.found).await?;
                    self.verify(actor, &project, domain, true).await?
                }
                verified => verified?,
            };
        }
        Ok(check)
    }

    /// Takes a domain from a project, and has the ingress serve it no longer.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    pub async fn remove_domain(
        &self,
        actor: &Actor,
        project: ProjectId,
        domain: &CustomDomain,
    ) -> Result<(), EngineError> {
        let engine = self.inner();
        let project = self.project(actor, project).await?;
        let job = self.route_job(&project)?;
        let removed = engine.store.remove_domain(actor, project.id, domain, job);
        removed.await?;
        engine.bus.publish(Hint::Jobs);
        Ok(())
    }

    async fn verify(
        &self,
        actor: &Actor,
        project: &Project,
        domain: &CustomDomain,
        verified: bool,
    ) -> Result<Domain, EngineError> {
        let engine = self.inner();
        let job = self.route_job(project)?;
        let domain = engine
            .store
            .verify_domain(actor, project.id, domain, verified, job);
        let domain = domain.await?;
        engine.bus.publish(Hint::Jobs);
        Ok(domain)
    }

    async fn take_from_holder(
        &self,
        domain: &CustomDomain,
        found: &[String],
    ) -> Result<(), EngineError> {
        let store = &self.inner().store;
        match store.domain_holder(domain).await? {
            Some(holder) if !found.contains(&holder.token) => {
                let project = store.project(&holder.tenant, holder.project).await?;
                let engine = Actor::new(holder.tenant, "deployr");
                self.verify(&engine, &project, domain, false).await?;
                Ok(())
            }
            _ => Ok(()), // the next attempt says that it is taken, or it is free
        }
    }

    fn route_job(&self, project: &Project) -> Result<NewJob, EngineError> {
        let input = RouteInput {
            tenant: project.tenant.clone(),
            project: project.id,
            bring_up: false,
        };
        Ok(self.inner().route_job(&input, &project.settings.target)?)
    }

    /// The domain below which the ingress has names for projects.
    fn own_domain(&self, project: &Project) -> Option<DomainName> {
        let url = self.inner().ingress.as_ref()?.url(&project.slug)?;
        let url = url::Url::parse(&url).ok()?;
        let (_, domain) = url.host_str()?.split_once('.')?;
        DomainName::parse(domain).ok()
    }
}
