//! The one place where text becomes a line for a remote shell.

use super::script::Script;

/// What a host's shell is given: a script of ours and words for it, each quoted so that
/// the shell reads it as it is. There is no other way to make one.
///
/// Lines are seen by everybody on the host: no secret may be a word.
#[derive(Debug, Clone)]
pub(super) struct Line(String);

impl Line {
    /// A script for a project below a root.
    pub(super) fn new(script: Script, root: &str, slug: &str) -> Self {
        Self("exec /bin/sh -c".to_owned())
            .word(script.text)
            .word("deployr")
            .word(root)
            .word(slug)
    }

    pub(super) fn word(mut self, word: &str) -> Self {
        self.0.push(' ');
        push_quoted(&mut self.0, word);
        self
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Between single quotes nothing means anything to a POSIX shell but a single quote.
pub(super) fn push_quoted(line: &mut String, word: &str) {
    line.push('\'');
    for (at, part) in word.split('\'').enumerate() {
        if at > 0 {
            line.push_str(r"'\''");
        }
        line.push_str(part);
    }
    line.push('\'');
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    const ECHO: Script = Script {
        name: "echo",
        text: r#"for word; do printf '%s\0' "$word"; done"#,
    };

    #[test]
    fn a_shell_reads_each_word_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let canary = folder.path().join("canary");
        let touch = format!("touch {}", canary.display());
        let mut words: Vec<String> = ["", "'", "''", "a'b'c", "\\", "\\'", "-n", "~", "*", "é\n\t"]
            .map(str::to_owned)
            .into();
        for hostile in [
            "$(C)", "`C`", "; C;", "'; C; '", "\n C\n", "| C", "\"$(C)\"", "'$(C)'",
        ] {
            words.push(hostile.replace('C', &touch));
        }
        for byte in 1..=127_u8 {
            words.push(format!("{0}{0}x", char::from(byte)));
        }
        let line = words
            .iter()
            .fold(Line::new(ECHO, "/r", "s"), |line, word| line.word(word));
        for shell in ["sh", "bash"] {
            let output = Command::new(shell)
                .args(["-c", line.as_str()])
                .output()
                .unwrap();
            let heard: Vec<&[u8]> = output.stdout.split(|byte| *byte == 0).collect();
            assert_eq!(heard[..2], [b"/r".as_slice(), b"s"]);
            for (heard, word) in heard[2..].iter().zip(&words) {
                assert_eq!(*heard, word.as_bytes(), "in {shell}");
            }
            assert_eq!(heard.len(), words.len() + 3);
        }
        assert!(!canary.exists());
    }
}
