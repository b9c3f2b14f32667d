//! All that is printed, save the progress of a deployment.

use std::io::{ErrorKind, IsTerminal, Write};

use serde_json::Value;

use crate::exit::{Error, Exit};

/// Where output goes and what form it has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ui {
    json: bool,
    terminal: bool,
    colors: bool,
    silent: bool,
    works: bool,
}

impl Ui {
    pub(crate) fn new(json: bool) -> Self {
        let terminal = std::io::stdout().is_terminal() && std::io::stderr().is_terminal();
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            json,
            terminal: terminal && !json,
            colors: terminal && !json && !plain,
            silent: false,
            works: false,
        }
    }

    /// The same, for a command that does work: it goes on where nobody reads any more.
    pub(crate) fn for_work(self) -> Self {
        Self {
            works: true,
            ..self
        }
    }

    /// Prints nothing but warnings.
    pub(crate) fn silent() -> Self {
        Self {
            json: false,
            terminal: false,
            colors: false,
            silent: true,
            works: true,
        }
    }

    /// Whether somebody watches: then a line may move.
    pub(crate) fn on_terminal(&self) -> bool {
        self.terminal
    }

    pub(crate) fn colors(&self) -> bool {
        self.colors
    }

    /// A line for people.
    pub(crate) fn say(&self, line: impl std::fmt::Display) {
        if !self.json && !self.silent {
            self.print(format_args!("{line}"));
        }
    }

    /// A line for machines.
    pub(crate) fn emit(&self, value: &Value) {
        if self.json {
            self.print(format_args!("{value}"));
        }
    }

    /// A warning; on stderr, whatever the form of the rest.
    pub(crate) fn warn(&self, line: impl std::fmt::Display) {
        complain(format_args!("warning: {line}"));
    }

    /// How a deployment ended, where not well; machines have its last event.
    pub(crate) fn verdict(&self, line: impl std::fmt::Display) {
        if !self.json {
            complain(format_args!("{} {line}", self.bad("error:")));
        }
    }

    /// Why the command ends.
    pub(crate) fn error(&self, error: &Error) {
        if self.json {
            print(format_args!("{}", error.to_json()));
        } else {
            complain(format_args!("{} {error}", self.bad("error:")));
        }
    }

    pub(crate) fn good(&self, text: &str) -> String {
        self.paint("32", text)
    }

    pub(crate) fn bad(&self, text: &str) -> String {
        self.paint("31", text)
    }

    pub(crate) fn strong(&self, text: &str) -> String {
        self.paint("1", text)
    }

    pub(crate) fn dim(&self, text: &str) -> String {
        self.paint("2", text)
    }

    fn print(&self, line: std::fmt::Arguments<'_>) {
        if self.works {
            // A deployment is not given up halfway for a line that nobody can read.
            let _ = write(line);
        } else {
            print(line);
        }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colors {
            format!("\x1b[{code}m{text}\x1b[m")
        } else {
            text.to_owned()
        }
    }
}

/// Tells why a command line was refused (or what was asked to be told), before there
/// is anything else.
pub(crate) fn show_usage(refused: &clap::Error) -> Exit {
    if refused.use_stderr() && std::env::args_os().any(|arg| arg == "--json") {
        let (message, hint) = in_parts(&refused.render().to_string());
        let error = Error::usage(message).hint(hint);
        print(format_args!("{}", error.to_json()));
    } else {
        // A closed pipe leaves nobody to tell.
        let _ = refused.print();
    }
    if refused.use_stderr() {
        Exit::Usage
    } else {
        Exit::Ok
    }
}

/// The complaint of a refused command line, and what to write instead, a line each.
fn in_parts(text: &str) -> (String, String) {
    let line = |lines: &str| lines.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = text.trim_start_matches("error: ");
    let (message, help) = text.split_once("\n\n").unwrap_or((text, ""));
    let help = help.split("\n\n").map(line).collect::<Vec<_>>();
    (line(message), help.join("; "))
}

fn print(line: std::fmt::Arguments<'_>) {
    if let Err(error) = write(line) {
        // `deployr logs -f | head`: whoever was reading has read enough.
        let exit = if error.kind() == ErrorKind::BrokenPipe {
            Exit::Ok
        } else {
            Exit::Fault
        };
        std::process::exit(exit as i32);
    }
}

fn write(line: std::fmt::Arguments<'_>) -> std::io::Result<()> {
    writeln!(std::io::stdout().lock(), "{line}")
}

fn complain(line: std::fmt::Arguments<'_>) {
    // A closed stderr leaves nobody to tell.
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_a_refusal_is_told_to_machines() {
        let text = "error: the following required arguments were not provided:\n  <REPOSITORY>\n\n\
                    Usage: deployr deploy <REPOSITORY>\n\nFor more information, try '--help'.\n";
        let (message, hint) = in_parts(text);
        assert_eq!(
            message,
            "the following required arguments were not provided: <REPOSITORY>"
        );
        assert_eq!(
            hint,
            "Usage: deployr deploy <REPOSITORY>; For more information, try '--help'."
        );
        assert_eq!(in_parts("error: no\n"), ("no".to_owned(), String::new()));
    }
}
