//! Text of others in places where some characters mean something.

use std::path::Path;

/// A path as a value in `ssh`'s configuration, where blanks, `%`, `"` and `\` mean
/// something.
pub(super) fn quoted_option(path: &Path) -> String {
    let text = path
        .to_string_lossy()
        .replace('\\', "\\\\")
        .replace('"', "\\\"");
    format!("\"{}\"", text.replace('%', "%%"))
}

/// One word of the remote shell's command.
pub(super) fn quoted_word(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remote_shell_sees_one_word() {
        assert_eq!(quoted_word("/a b/$(id)`x`"), "'/a b/$(id)`x`'");
        assert_eq!(quoted_word("/it's"), r"'/it'\''s'");
    }

    #[test]
    fn a_path_is_one_value_for_ssh() {
        assert_eq!(
            quoted_option(Path::new("/a b/100%/\"x\"")),
            r#""/a b/100%%/\"x\"""#
        );
    }
}
