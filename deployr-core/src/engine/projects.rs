use super::{Engine, EngineError, ProjectRequest};
use crate::model::{Actor, Page, Project, ProjectId, ProjectSettings};
use crate::store::{NewProject, StoreError};
use crate::value::{EnvName, EnvValue, ProjectName, Slug};

impl Engine {
    /// Creates a project. Its slug is made from its name; where another project has
    /// that, or it [is reserved](Slug::is_reserved), four letters of the new project's id are added.
    ///
    /// # Errors
    ///
    /// `UnknownTarget`; `Invalid` for settings that the builder refuses; `Conflict` when the
    /// tenant has a project of that name.
    pub async fn create_project(
        &self,
        actor: &Actor,
        request: ProjectRequest,
    ) -> Result<Project, EngineError> {
        let engine = self.inner();
        engine.check(&request.settings)?;
        let id = ProjectId::new(engine.clock.now(), &*engine.entropy);
        let mut new = NewProject {
            id,
            slug: Slug::from_name(&request.name),
            name: request.name,
            settings: request.settings,
            env: Vec::new(),
        };
        for (name, value) in request.env.iter() {
            let sealed = engine.seal_env(&actor.tenant, id, name, value)?;
            new.env.push((name.clone(), sealed));
        }
        if !new.slug.is_reserved() {
            match engine.store.create_project(actor, new.clone()).await {
                Err(StoreError::Conflict {
                    what: "subdomain", ..
                }) => {}
                created => return Ok(created?),
            }
        }
        let id = id.to_string();
        new.slug = Slug::parse(format!("{}-{}", new.slug, &id[id.len() - 4..]))?;
        Ok(engine.store.create_project(actor, new).await?)
    }

    /// The project of that key.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    pub async fn project(&self, actor: &Actor, id: ProjectId) -> Result<Project, EngineError> {
        Ok(self.inner().store.project(&actor.tenant, id).await?)
    }

    /// The project of that name or slug.
    ///
    /// # Errors
    ///
    /// `NotFound`; `Invalid` when it is not fit for a name.
    pub async fn project_by_name(&self, actor: &Actor, name: &str) -> Result<Project, EngineError> {
        let name = ProjectName::parse(name)?;
        Ok(self
            .inner()
            .store
            .find_project(&actor.tenant, &name)
            .await?)
    }

    /// The tenant's projects, newest first.
    ///
    /// # Errors
    ///
    /// The store's.
    pub async fn projects(
        &self,
        actor: &Actor,
        page: Page<ProjectId>,
    ) -> Result<Vec<Project>, EngineError> {
        Ok(self.inner().store.projects(&actor.tenant, page).await?)
    }

    /// Replaces a project's settings, for deployments that start from now on.
    ///
    /// # Errors
    ///
    /// `NotFound`; `UnknownTarget`; `Invalid` for settings that the builder refuses.
    pub async fn update_project(
        &self,
        actor: &Actor,
        id: ProjectId,
        settings: ProjectSettings,
    ) -> Result<Project, EngineError> {
        self.inner().check(&settings)?;
        Ok(self
            .inner()
            .store
            .update_project(actor, id, settings)
            .await?)
    }

    /// Sets a variable of a project's environment, or removes it. Goes for deployments
    /// that start from now on; the live release keeps what it was made with.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    pub async fn set_env(
        &self,
        actor: &Actor,
        project: ProjectId,
        name: &EnvName,
        value: Option<&EnvValue>,
    ) -> Result<(), EngineError> {
        let engine = self.inner();
        let sealed = match value {
            Some(value) => Some(engine.seal_env(&actor.tenant, project, name, value)?),
            None => None,
        };
        Ok(engine.store.set_env(actor, project, name, sealed).await?)
    }

    /// The names of a project's variables. Values are never given out.
    ///
    /// # Errors
    ///
    /// `NotFound`.
    pub async fn env_names(
        &self,
        actor: &Actor,
        project: ProjectId,
    ) -> Result<Vec<EnvName>, EngineError> {
        let entries = self.inner().store.env(&actor.tenant, project).await?;
        Ok(entries.into_iter().map(|entry| entry.name).collect())
    }

    /// Where a project can be reached, by the ingress that the engine has.
    #[must_use]
    pub fn url(&self, project: &Project) -> Option<String> {
        self.inner()
            .ingress
            .as_ref()
            .and_then(|ingress| ingress.url(&project.slug))
    }
}
