//! All that deployr writes to `tracing`, at every level, as its subscribers see it.

use std::fmt::Debug;
use std::sync::{Mutex, OnceLock, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

static TOLD: Mutex<String> = Mutex::new(String::new());

/// Begins to listen, for the whole process: a test asks for what only it can have caused.
///
/// # Panics
///
/// When the process has another subscriber.
pub fn listen() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| tracing::subscriber::set_global_default(Ear).unwrap());
}

/// What was told so far.
#[must_use]
pub fn said() -> String {
    TOLD.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

struct Ear;

struct Words<'a>(&'a mut String);

impl Visit for Words<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.push_str(&format!(" {field}={value:?}"));
    }
}

fn note(record: impl FnOnce(&mut Words<'_>)) {
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    record(&mut Words(&mut told));
    told.push('\n');
}

impl Subscriber for Ear {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("deployr")
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        note(|words| span.record(words));
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        note(|words| values.record(words));
    }

    fn event(&self, event: &Event<'_>) {
        note(|words| event.record(words));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
