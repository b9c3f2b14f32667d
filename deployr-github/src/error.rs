//! What libgit2 and the disk answer, in the engine's words.

use deployr_core::error::{Fault, StepError, StepResult, Verdict, VerdictCode};
use git2::ErrorClass;

/// Why work on a mirror ended.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// An answer for the caller.
    Step(StepError),
    /// The mirror on disk cannot be read: making it anew may help.
    Broken(String),
}

impl<E: Into<StepError>> From<E> for Trouble {
    fn from(error: E) -> Self {
        Self::Step(error.into())
    }
}

impl Trouble {
    /// What libgit2 says about `url`. Whatever is not the connection's fault is the
    /// mirror's: it was written by us and checked when it was received.
    pub(crate) fn git(url: &str, error: &git2::Error) -> Self {
        let text = printable(error.message());
        let unsuitable = matches!(
            error.class(),
            ErrorClass::Net | ErrorClass::Http | ErrorClass::Ssh
        );
        if let Some(words) = text.strip_prefix("remote error: ") {
            return refused(url, format_args!("its server says: {words}")).into();
        }
        if text.contains("No space left") {
            let reason = format!("{text}; free some space and deploy again");
            return Fault::permanent("fetch", url, reason).into();
        }
        if unsuitable {
            return Fault::retryable("fetch", url, text).into();
        }
        Self::Broken(text)
    }

    /// For the end, once making the mirror anew did not help.
    pub(crate) fn give_up(self, url: &str) -> StepError {
        match self {
            Self::Step(error) => error,
            Self::Broken(reason) => Fault::retryable(
                "fetch",
                url,
                format_args!("the data received is not a sound repository: {reason}"),
            )
            .into(),
        }
    }
}

/// The verdict for a repository that is not there, or not for us.
pub(crate) fn refused(url: &str, why: impl std::fmt::Display) -> StepError {
    Verdict::new(
        VerdictCode::RepositoryRefused,
        format!("the repository {url} could not be read: {why}"),
    )
    .into()
}

/// Text of strangers: one line, bounded, and nothing that steers a terminal.
pub(crate) fn printable(text: &str) -> String {
    let line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(300)
        .collect();
    line.trim().to_owned()
}

/// An error with all of its causes, since the outermost mostly says "request failed".
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    printable(&text)
}

/// Runs work that blocks, on a thread made for that.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> StepResult<T> + Send + 'static,
) -> StepResult<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Fault::permanent("work", "a repository", chain(&error)).into()),
    }
}
