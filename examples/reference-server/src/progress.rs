//! The progress of one deployment, as it comes.

use std::borrow::Cow;
use std::time::Duration;

use deployr_core::log::{LogLine, LogStream, strip_colors};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::ui::Ui;

const QUEUED: &str = "queued";

/// Shows lines above one that moves, where somebody watches; as plain lines with their
/// stage, or as JSON, where not.
#[derive(Debug)]
pub(crate) struct Progress {
    ui: Ui,
    stage: String,
    spinner: Option<ProgressBar>,
}

impl Progress {
    pub(crate) fn start(ui: &Ui) -> Self {
        let spinner = ui.on_terminal().then(|| {
            let spinner = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
                spinner.set_style(style);
            }
            spinner.enable_steady_tick(Duration::from_millis(100));
            spinner
        });
        let progress = Self {
            ui: *ui,
            stage: QUEUED.into(),
            spinner,
        };
        progress.show_stage();
        progress
    }

    /// The last line, which people need not see where it is told again right after.
    pub(crate) fn last_line(&mut self, line: &LogLine, told_again: bool) {
        if told_again {
            self.emit(line);
        } else {
            self.line(line);
        }
    }

    pub(crate) fn line(&mut self, line: &LogLine) {
        self.emit(line);
        if line.stream == LogStream::Stage {
            self.stage.clone_from(&line.text);
            self.show_stage();
            self.print(&self.ui.strong("started"));
        } else {
            self.print(&text(&self.ui, line));
        }
    }

    fn emit(&self, line: &LogLine) {
        self.ui.emit(&json!({"event": "line", "line": line}));
    }

    /// Whether nothing has happened yet.
    pub(crate) fn is_queued(&self) -> bool {
        self.stage == QUEUED
    }

    /// A word of our own.
    pub(crate) fn note(&self, text: &str) {
        self.ui.emit(&json!({"event": "note", "text": text}));
        self.print(text);
    }

    /// Takes the moving line away.
    pub(crate) fn end(&self) {
        if let Some(spinner) = &self.spinner {
            spinner.finish_and_clear();
        }
    }

    fn show_stage(&self) {
        if let Some(spinner) = &self.spinner {
            spinner.set_message(self.stage.clone());
        }
    }

    fn print(&self, text: &str) {
        match &self.spinner {
            Some(spinner) => spinner.suspend(|| {
                self.ui
                    .say(format_args!("{} {text}", self.ui.dim(&self.stage)))
            }),
            None => self.ui.say(format_args!("[{}] {text}", self.stage)),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}

/// A line's text: with its colours for people who want them, and then with an end to them.
pub(crate) fn text<'a>(ui: &Ui, line: &'a LogLine) -> Cow<'a, str> {
    if !ui.colors() {
        strip_colors(&line.text)
    } else if line.text.contains('\x1b') {
        format!("{}\x1b[m", line.text).into()
    } else {
        Cow::Borrowed(&line.text)
    }
}
