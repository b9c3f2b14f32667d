//! A project's variables on their way to a host: over a connection's stdin, never in a
//! line that others could see.

use deployr_core::value::EnvSet;

use super::quote::push_quoted;

/// The last line, without which a script knows that it was not given all.
const WHOLE: &str = "# whole\n";

/// What a shell there evaluates to have them, byte for byte.
pub(super) fn text<'a>(env: impl Into<Option<&'a EnvSet>>) -> String {
    let env: Option<&EnvSet> = env.into();
    let mut text = String::new();
    for (name, value) in env.into_iter().flatten() {
        text.push_str("export ");
        // Also the name: a name that is none shall be an error, and nothing else.
        push_quoted(&mut text, &format!("{}={}", name.as_str(), value.expose()));
        text.push('\n');
    }
    text.push_str(WHOLE);
    text
}
