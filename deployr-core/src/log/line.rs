use serde::{Deserialize, Serialize};

use crate::system::Timestamp;

/// One line of a deployment's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Counts the deployment's lines from 1, without gaps, over all attempts.
    pub seq: i64,
    /// When the engine had it.
    pub at: Timestamp,
    /// Where it came from.
    pub stream: LogStream,
    /// The text: at most 16 KiB of UTF-8 without secrets and without control
    /// characters, save tabs and the escape sequences that set colours.
    pub text: String,
}

/// Where a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogStream {
    /// A command's standard output.
    Stdout,
    /// A command's standard error.
    Stderr,
    /// The engine, in its own words.
    Engine,
    /// The engine; the text is the name of the stage that begins.
    Stage,
}

impl LogStream {
    /// The number under which it is stored.
    #[must_use]
    pub fn as_number(self) -> i64 {
        match self {
            Self::Stdout => 1,
            Self::Stderr => 2,
            Self::Engine => 3,
            Self::Stage => 4,
        }
    }

    /// The stream of that number.
    #[must_use]
    pub fn from_number(number: i64) -> Option<Self> {
        [Self::Stdout, Self::Stderr, Self::Engine, Self::Stage]
            .into_iter()
            .find(|stream| stream.as_number() == number)
    }
}
