use serde::{Deserialize, Serialize};

use super::chars::reorders;
use super::{InputCode, InvalidValue};

const MAX_BYTES: usize = 16 * 1024;

/// The shell line, or lines, that builds a project.
///
/// It is meant for a shell, so nothing a shell understands is refused: what
/// keeps it harmless is the sandbox it runs in.
///
/// ```
/// use deployr_core::value::BuildCommand;
///
/// assert!(BuildCommand::parse("npm ci && npm run build").is_ok());
/// assert!(BuildCommand::parse("npm run build\0; id").is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BuildCommand(String);

string_value!(BuildCommand);

impl BuildCommand {
    /// Parses a command. Browsers send line ends as CR LF; they become LF.
    pub fn parse(input: impl AsRef<str>) -> Result<Self, InvalidValue> {
        let input = input.as_ref();
        let refuse = |rule| {
            // People write tokens into commands: the text stays hidden.
            let code = InputCode::BuildCommandInvalid;
            Err(InvalidValue::hidden(
                "build_command",
                code,
                rule,
                input.len(),
            ))
        };
        if input.len() > MAX_BYTES {
            return refuse("must not be larger than 16 KiB");
        }
        let command = input.replace("\r\n", "\n");
        if command.contains(|c: char| c.is_control() && c != '\n' && c != '\t') {
            return refuse("must not contain control characters");
        }
        if command.contains(reorders) {
            return refuse("must not contain characters that show it in another order");
        }
        match command.trim() {
            "" => refuse("must not be empty"),
            // `sh -c` would take it for an option of its own.
            command if command.starts_with(['-', '+']) => refuse("must not start with '-' or '+'"),
            command => Ok(Self(command.to_owned())),
        }
    }
}
