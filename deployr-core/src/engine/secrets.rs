//! Secrets on their way into the store and out of it: sealed to the row that they
//! stand in, so that one moved to another row or tenant does not open.

use std::collections::BTreeMap;

use super::{EngineError, Inner};
use crate::error::{Fault, StepError, StepResult};
use crate::executor::ReleaseSpec;
use crate::model::{EnvEntry, Project, ProjectId, Release, ReleaseId};
use crate::secret::{SealContext, Sealed};
use crate::source::Source;
use crate::value::{EnvName, EnvSet, EnvValue, GitUrl, Slug, TenantId};

fn release_env_context<'a>(tenant: &'a TenantId, row: &'a str) -> SealContext<'a> {
    SealContext {
        table: "releases",
        column: "env",
        tenant: tenant.as_str(),
        row,
    }
}

impl Inner {
    fn nonce(&self) -> [u8; 24] {
        let mut nonce = [0; 24];
        self.entropy.fill(&mut nonce);
        nonce
    }

    pub(crate) fn seal_env(
        &self,
        tenant: &TenantId,
        project: ProjectId,
        name: &EnvName,
        value: &EnvValue,
    ) -> Result<Sealed, EngineError> {
        let row = format!("{project}/{name}");
        let context = SealContext {
            table: "project_env",
            column: "value",
            tenant: tenant.as_str(),
            row: &row,
        };
        self.keys
            .seal(&context, value.expose().as_bytes(), self.nonce())
            .map_err(|error| EngineError::Sealed {
                what: name.to_string(),
                reason: error.to_string(),
            })
    }

    /// A project's environment, from what is stored of it.
    pub(crate) fn open_env(
        &self,
        project: &Project,
        entries: Vec<EnvEntry>,
    ) -> Result<EnvSet, EngineError> {
        let mut env = EnvSet::default();
        for entry in entries {
            let row = format!("{}/{}", project.id, entry.name);
            let context = SealContext {
                table: "project_env",
                column: "value",
                tenant: project.tenant.as_str(),
                row: &row,
            };
            let unreadable = |reason: String| EngineError::Sealed {
                what: entry.name.to_string(),
                reason,
            };
            let opened = self
                .keys
                .open(&context, &entry.value)
                .map_err(|error| unreadable(error.to_string()))?;
            let text =
                std::str::from_utf8(&opened).map_err(|error| unreadable(error.to_string()))?;
            env.insert(entry.name.clone(), EnvValue::parse(text)?)?;
        }
        Ok(env)
    }

    pub(crate) fn seal_release_env(
        &self,
        tenant: &TenantId,
        release: ReleaseId,
        env: &EnvSet,
    ) -> StepResult<Sealed> {
        let plain: BTreeMap<&str, &str> = env
            .iter()
            .map(|(name, value)| (name.as_str(), value.expose()))
            .collect();
        let json = serde_json::to_vec(&plain)
            .map_err(|error| Fault::permanent("sealing", "the environment", error))?;
        let json = zeroize::Zeroizing::new(json);
        self.keys
            .seal(
                &release_env_context(tenant, &release.to_string()),
                &json,
                self.nonce(),
            )
            .map_err(|error| Fault::permanent("sealing", "the environment", error).into())
    }

    /// All that an executor needs of a stored release.
    pub(crate) fn release_spec(&self, release: &Release, slug: &Slug) -> StepResult<ReleaseSpec> {
        let unreadable = |reason: String| {
            StepError::Fault(Fault::permanent(
                "decryption",
                format!("the environment of release {}", release.number),
                reason,
            ))
        };
        let row = release.id.to_string();
        let json = self
            .keys
            .open(&release_env_context(&release.tenant, &row), &release.env)
            .map_err(|error| unreadable(error.to_string()))?;
        let plain: BTreeMap<EnvName, EnvValue> =
            serde_json::from_slice(&json).map_err(|error| unreadable(error.to_string()))?;
        let mut env = EnvSet::default();
        for (name, value) in plain {
            env.insert(name, value)
                .map_err(|error| unreadable(error.to_string()))?;
        }
        Ok(ReleaseSpec {
            project: release.project,
            slug: slug.clone(),
            release: release.id,
            number: release.number,
            commit: release.commit.clone(),
            recipe: release.recipe.clone(),
            env,
        })
    }

    pub(crate) async fn source_of(&self, project: &Project) -> Result<Source, Fault> {
        let settings = &project.settings;
        self.source_at(&settings.source, settings.submodules).await
    }

    /// A repository, with what it takes to read it now.
    pub(super) async fn source_at(&self, url: &GitUrl, submodules: bool) -> Result<Source, Fault> {
        let credentials = match &self.credentials {
            Some(provider) => provider
                .credentials(url)
                .await
                .map_err(|error| match error {
                    StepError::Fault(fault) => fault,
                    other => Fault::permanent("looking up credentials", url, other),
                })?,
            None => None,
        };
        Ok(Source {
            url: url.clone(),
            credentials,
            submodules,
        })
    }
}
