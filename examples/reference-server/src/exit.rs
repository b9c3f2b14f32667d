//! How the program ends: its exit codes, and its errors.

use std::error::Error as StdError;
use std::fmt;
use std::process::ExitCode;

use deployr_core::engine::EngineError;
use deployr_core::error::{Fault, StepError};
use deployr_core::model::InvalidId;
use deployr_core::store::StoreError;
use deployr_core::value::InvalidValue;
use serde_json::{Value, json};

pub(crate) type Result<T> = std::result::Result<T, Error>;

/// The exit codes. Told in `deployr --help` and in `docs/configuration.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It was done.
    Ok = 0,
    /// The answer is no: the deployment failed or was cancelled, or what was to be stopped
    /// has ended.
    Verdict = 1,
    /// The machinery failed, what was asked for is not there, or somebody did not wait
    /// for the end.
    Fault = 2,
    /// The command line, a setting or a value is not valid (`EX_USAGE`).
    Usage = 64,
}

impl Exit {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Verdict => "verdict",
            Self::Fault => "fault",
            Self::Usage => "usage",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

type Cause = Box<dyn StdError + Send + Sync>;

/// Why a command did not do as asked, and the code to exit with.
#[derive(Debug)]
pub(crate) struct Error {
    exit: Exit,
    cause: Cause,
    hint: Option<String>,
}

impl Error {
    fn new(exit: Exit, cause: impl Into<Cause>) -> Self {
        Self {
            exit,
            cause: cause.into(),
            hint: None,
        }
    }

    /// What was asked is not valid.
    pub(crate) fn usage(cause: impl Into<Cause>) -> Self {
        Self::new(Exit::Usage, cause)
    }

    /// The answer is no.
    pub(crate) fn verdict(cause: impl Into<Cause>) -> Self {
        Self::new(Exit::Verdict, cause)
    }

    /// The machinery failed.
    pub(crate) fn fault(cause: impl Into<Cause>) -> Self {
        Self::new(Exit::Fault, cause)
    }

    /// The operating system did not do it.
    pub(crate) fn io(what: impl fmt::Display, error: impl fmt::Display) -> Self {
        Self::fault(format!("cannot {what}: {error}"))
    }

    /// What to do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// The errors underneath, without those whose words the ones above repeat.
    fn causes(&self) -> Vec<String> {
        let mut told = vec![self.cause.to_string()];
        let mut next = self.cause.source();
        while let Some(cause) = next {
            let text = cause.to_string();
            if !told.iter().any(|above| above.contains(&text)) {
                told.push(text);
            }
            next = cause.source();
        }
        told.split_off(1)
    }

    /// The same for machines.
    pub(crate) fn to_json(&self) -> Value {
        json!({"error": {
            "kind": self.exit.as_str(),
            "message": self.cause.to_string(),
            "causes": self.causes(),
            "hint": self.hint,
        }})
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.cause)?;
        for cause in self.causes() {
            write!(f, "\n  caused by: {cause}")?;
        }
        match &self.hint {
            Some(hint) => write!(f, "\n  help: {hint}"),
            None => Ok(()),
        }
    }
}

impl From<EngineError> for Error {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Invalid(_) | EngineError::UnknownTarget { .. } => Self::usage(error),
            EngineError::Verdict(_) => Self::verdict(error),
            other => Self::fault(other),
        }
    }
}

impl From<StepError> for Error {
    fn from(error: StepError) -> Self {
        EngineError::from(error).into()
    }
}

macro_rules! from_errors {
    ($($error:ty => $make:ident,)*) => {$(
        impl From<$error> for Error {
            fn from(error: $error) -> Self {
                Self::$make(error)
            }
        }
    )*};
}

from_errors! {
    Fault => fault,
    InvalidId => usage,
    InvalidValue => usage,
    StoreError => fault,
}
