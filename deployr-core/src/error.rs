//! How things end that do not go well. A [`Verdict`] is about what is deployed
//! ("their build exited 1"); a [`Fault`] is about the machinery ("the disk of the
//! builder is full"). They are different types from here to the exit code.

use std::fmt;

/// It did not work, and that is an answer: the deployment ends `failed`, its job
/// is completed, and nothing is tried again.
///
/// ```
/// use deployr_core::error::{Verdict, VerdictCode};
///
/// let verdict = Verdict::new(VerdictCode::BuildFailed, "`npm run build` exited 1");
/// assert_eq!(verdict.to_string(), "`npm run build` exited 1");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Verdict {
    /// The reason, for machines.
    pub code: VerdictCode,
    /// What was attempted, on what, why it failed and what to do; without secrets.
    pub message: String,
}

impl Verdict {
    /// A verdict in words.
    pub fn new(code: VerdictCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

macro_rules! verdict_codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// The reasons for which a deployment ends `failed` by verdict.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum VerdictCode { $($(#[$doc])* $name,)* }

        impl VerdictCode {
            /// The stable name, as stored and as sent to machines.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

verdict_codes! {
    /// A command of the build exited with another code than 0.
    BuildFailed = "build_failed",
    /// The build took longer than it may.
    BuildTimedOut = "build_timed_out",
    /// A command of the release on its target exited with another code than 0.
    CommandFailed = "command_failed",
    /// `deployr.toml` or the settings do not fit what is in the repository.
    ConfigInvalid = "config_invalid",
    /// The build filled its share of the disk.
    DiskFull = "disk_full",
    /// The build was killed for want of memory.
    OutOfMemory = "out_of_memory",
    /// The output folder leads out of the checkout.
    OutputEscapes = "output_escapes",
    /// The build made no output folder.
    OutputMissing = "output_missing",
    /// The branch, tag or commit is not in the repository.
    RefNotFound = "ref_not_found",
    /// The release to go back to is no longer on the target.
    ReleaseGone = "release_gone",
    /// The repository is not there, or not for these credentials.
    RepositoryRefused = "repository_refused",
    /// The release's process ended before it was healthy.
    StartFailed = "start_failed",
    /// The repository or the artifact is larger than it may be.
    TooLarge = "too_large",
    /// The release did not become healthy in time.
    Unhealthy = "unhealthy",
    /// The target cannot do what the project asks for.
    Unsupported = "unsupported",
}

impl fmt::Display for VerdictCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// The machinery failed. Says whether another attempt can help; the job is tried
/// again, or the deployment ends `failed` with this as its reason.
///
/// ```
/// use deployr_core::error::Fault;
///
/// let fault = Fault::retryable("fetch", "https://example.com/app.git", "the connection was reset");
/// assert!(fault.retryable);
/// assert_eq!(fault.to_string(), "fetch of https://example.com/app.git failed: the connection was reset");
/// ```
#[derive(Debug, thiserror::Error)]
#[error("{operation} of {subject} failed: {reason}")]
pub struct Fault {
    /// What was attempted.
    pub operation: &'static str,
    /// On what; without secrets.
    pub subject: String,
    /// Why it failed and what to do; without secrets.
    pub reason: String,
    /// Whether the same call may succeed later.
    pub retryable: bool,
    /// The error underneath.
    #[source]
    pub source: Option<Cause>,
}

impl Fault {
    /// A fault that may pass.
    pub fn retryable(
        operation: &'static str,
        subject: impl fmt::Display,
        reason: impl fmt::Display,
    ) -> Self {
        Self {
            operation,
            subject: subject.to_string(),
            reason: reason.to_string(),
            retryable: true,
            source: None,
        }
    }

    /// A fault that stays until somebody does something about it.
    pub fn permanent(
        operation: &'static str,
        subject: impl fmt::Display,
        reason: impl fmt::Display,
    ) -> Self {
        Self {
            retryable: false,
            ..Self::retryable(operation, subject, reason)
        }
    }

    /// An I/O error on a path or an address, with what to do about it. Retryable unless
    /// the disk is full, the path is not allowed, or the system cannot do such a thing.
    ///
    /// ```
    /// use deployr_core::error::Fault;
    ///
    /// let full = Fault::io("write", "/srv/site", std::io::ErrorKind::StorageFull.into());
    /// assert!(!full.retryable);
    /// assert!(full.to_string().ends_with("free some space and deploy again"));
    /// ```
    pub fn io(operation: &'static str, subject: impl fmt::Display, error: std::io::Error) -> Self {
        use std::io::ErrorKind as Kind;
        let what_to_do = match error.kind() {
            Kind::StorageFull => Some("free some space and deploy again"),
            Kind::QuotaExceeded => Some("free some space, or raise the quota, and deploy again"),
            Kind::PermissionDenied => {
                Some("give the user that the engine runs as access to it and deploy again")
            }
            Kind::ReadOnlyFilesystem => {
                Some("mount it so that it can be written to, or use another folder")
            }
            _ => None,
        };
        let reason = match what_to_do {
            Some(what_to_do) => format!("{error}; {what_to_do}"),
            None => error.to_string(),
        };
        Self {
            retryable: what_to_do.is_none() && error.kind() != Kind::Unsupported,
            source: Some(Box::new(error)),
            ..Self::retryable(operation, subject, reason)
        }
    }

    /// The same without the error underneath, which cannot be copied.
    pub(crate) fn told_again(&self) -> Self {
        Self {
            operation: self.operation,
            subject: self.subject.clone(),
            reason: self.reason.clone(),
            retryable: self.retryable,
            source: None,
        }
    }

    /// Keeps the error underneath.
    #[must_use]
    pub fn because(mut self, source: impl Into<Cause>) -> Self {
        self.source = Some(source.into());
        self
    }
}

/// How a step of the pipeline ends other than well. What source providers,
/// builders, executors and ingresses return.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// An answer about what is deployed.
    #[error(transparent)]
    Verdict(#[from] Verdict),
    /// A failure of the machinery.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The step saw its context cancelled, and has stopped all that it had started.
    #[error("stopped on request")]
    Stopped,
}

impl StepError {
    /// A verdict in words.
    pub fn verdict(code: VerdictCode, message: impl Into<String>) -> Self {
        Self::Verdict(Verdict::new(code, message))
    }
}

/// What a step of the pipeline returns.
pub type StepResult<T> = Result<T, StepError>;
