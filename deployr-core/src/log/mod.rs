//! A deployment's log: from raw bytes of a build to numbered lines that a reader
//! can follow from anywhere, without a gap and without a secret.

mod batcher;
mod cap;
mod clean;
mod cursor;
mod encoding;
mod filter;
mod forms;
mod guessable;
mod line;
mod redact;
mod search;
mod sink;
mod split;

pub use clean::{clean, strip_colors};
pub use line::{LogLine, LogStream};
pub use redact::{MASK, MIN_SECRET_CHARS, Redactor};
pub use sink::{LogLimits, LogSink, LogTarget, LogWriter};
pub use split::{Line, LineReader, MAX_LINE_BYTES};
