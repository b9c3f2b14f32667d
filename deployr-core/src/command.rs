//! What would run, as a value: built by pure code, shown by `plan`, and then
//! carried out by a few lines that do only that.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A program and its arguments. Never a shell line of ours; where a user wrote one,
/// it is a single argument of the shell that they asked for.
///
/// Secrets are not part of it: they travel in the environment or over standard input.
///
/// ```
/// use deployr_core::command::Command;
///
/// let command = Command::new("mv").arg("-T").arg("release 7").arg("current");
/// assert_eq!(command.to_string(), "mv -T 'release 7' current");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// The program.
    pub program: String,
    /// Its arguments, each passed as it is.
    pub args: Vec<String>,
}

impl Command {
    /// A command without arguments.
    pub fn new(program: impl Into<String>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// A line that the user wrote, for the shell that they expect.
    #[must_use]
    pub fn shell(line: &str) -> Self {
        Self::new("/bin/sh").arg("-c").arg(line)
    }
}

impl fmt::Display for Command {
    /// The command as one would type it, quoted where a shell needs it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_word(f, &self.program)?;
        for arg in &self.args {
            f.write_str(" ")?;
            write_word(f, arg)?;
        }
        Ok(())
    }
}

fn write_word(f: &mut fmt::Formatter<'_>, word: &str) -> fmt::Result {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return f.write_str(word);
    }
    write!(f, "'{}'", word.replace('\'', r"'\''"))
}

/// One line of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedStep {
    /// What is done, in words.
    pub what: String,
    /// The command that does it, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Command>,
}

impl PlannedStep {
    /// A step that is not a command.
    pub fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            command: None,
        }
    }

    /// A step that is a command.
    pub fn run(what: impl Into<String>, command: Command) -> Self {
        Self {
            what: what.into(),
            command: Some(command),
        }
    }
}

impl fmt::Display for PlannedStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.command {
            Some(command) => write!(f, "{}: {command}", self.what),
            None => f.write_str(&self.what),
        }
    }
}
