//! Secrets stay out of what the engine writes, stores and answers: which ones there are,
//! and what is done to errors that may quote them.

use secrecy::ExposeSecret;

use super::Inner;
use crate::error::{Fault, StepError, Verdict};
use crate::log::Redactor;
use crate::model::{Project, Release};
use crate::source::{Credentials, Source};
use crate::store::StoreResult;
use crate::value::EnvSet;

impl Inner {
    /// Knows the secrets that may come up in work for a project: of its environment, of
    /// its repository, and of the releases that may be started, whose environment was
    /// another then.
    pub(crate) fn redactor(
        &self,
        project: &Project,
        env: &EnvSet,
        source: Option<&Source>,
        releases: &[Release],
    ) -> Redactor {
        // One that does not open cannot be started either.
        let specs = releases
            .iter()
            .filter_map(|release| self.release_spec(release, &project.slug).ok());
        let specs: Vec<_> = specs.collect();
        let envs = specs.iter().map(|spec| &spec.env).chain([env]);
        let values = envs.flat_map(EnvSet::iter).map(|(_, value)| value.expose());
        let credential = source.and_then(credential);
        Redactor::new(
            values
                .filter(|value| !is_known(project, value))
                .chain(credential),
        )
    }

    /// As [`redactor`](Self::redactor), where parts are asked for something else than a
    /// deployment. They have not been told what cannot be opened any more.
    pub(crate) async fn redactor_for(&self, project: &Project) -> StoreResult<Redactor> {
        let env = self.store.env(&project.tenant, project.id).await?;
        let env = self.open_env(project, env).unwrap_or_default();
        let there = self.store.releases_on_target(&project.tenant, project.id);
        Ok(self.redactor(project, &env, None, &there.await?))
    }
}

/// Knows the secret that opens a repository.
pub(super) fn redactor_of(source: &Source) -> Redactor {
    Redactor::new(credential(source))
}

fn credential(source: &Source) -> Option<&str> {
    Some(match source.credentials.as_ref()? {
        Credentials::Password { password, .. } => password.expose_secret(),
        Credentials::SshKey { key } => key.expose_secret(),
    })
}

/// Whether whoever may read a project's logs knows the value anyway.
fn is_known(project: &Project, value: &str) -> bool {
    let settings = &project.settings;
    [
        project.name.as_str(),
        project.slug.as_str(),
        settings.branch.as_str(),
        settings.target.as_str(),
        settings.source.as_str(),
    ]
    .contains(&value)
}

/// What is told of a failure is as free of secrets as the log: a message may quote what
/// a tool printed. The error underneath is left out; it may quote it too.
pub(crate) fn redacted(error: StepError, redactor: &Redactor) -> StepError {
    match error {
        StepError::Verdict(Verdict { code, message }) => {
            StepError::verdict(code, redactor.redact(&message))
        }
        StepError::Fault(fault) => StepError::Fault(redacted_fault(&fault, redactor)),
        StepError::Stopped => StepError::Stopped,
    }
}

/// The same for a fault.
pub(crate) fn redacted_fault(fault: &Fault, redactor: &Redactor) -> Fault {
    Fault {
        operation: fault.operation,
        retryable: fault.retryable,
        subject: redactor.redact(&fault.subject).into_owned(),
        reason: redactor.redact(&fault.reason).into_owned(),
        source: None,
    }
}
