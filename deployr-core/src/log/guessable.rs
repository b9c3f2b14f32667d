//! Which values of an environment are no secrets, whatever they are used for.

/// Words that settings are made of. None that people take for a password.
const WORDS: [&str; 70] = [
    "always",
    "array",
    "auto",
    "browser",
    "build",
    "bundle",
    "c.utf-8",
    "cache",
    "client",
    "cluster",
    "console",
    "cookie",
    "daily",
    "database",
    "debug",
    "default",
    "deploy",
    "development",
    "disabled",
    "docker",
    "en_us.utf-8",
    "enabled",
    "error",
    "false",
    "file",
    "files",
    "github",
    "html",
    "http",
    "https",
    "info",
    "json",
    "lazy",
    "linux",
    "live",
    "local",
    "localhost",
    "main",
    "master",
    "memory",
    "mysql",
    "never",
    "next",
    "nginx",
    "node",
    "none",
    "null",
    "pgsql",
    "preview",
    "prod",
    "production",
    "public",
    "queue",
    "release",
    "server",
    "silent",
    "single",
    "smtp",
    "sqlite",
    "stack",
    "staging",
    "stderr",
    "stdout",
    "strict",
    "sync",
    "test",
    "testing",
    "true",
    "undefined",
    "verbose",
];

/// Whether a value is one of a few that anybody would guess: a word such as `true` or
/// `production`; numbers of up to five digits with dots between (`8080`, `v20.11.1`,
/// `127.0.0.1`); the same sign over and over. To mask these would make a log unreadable
/// and hide nothing: where the masks stand says what the value is.
pub(super) fn is_guessable(value: &str) -> bool {
    let word = value.to_ascii_lowercase();
    WORDS.contains(&word.as_str()) || is_numbers(&word) || is_rule(value)
}

fn is_numbers(word: &str) -> bool {
    let numbers: Vec<&str> = word.strip_prefix('v').unwrap_or(word).split('.').collect();
    let short = |number: &&str| {
        (1..=5).contains(&number.len()) && number.bytes().all(|digit| digit.is_ascii_digit())
    };
    numbers.len() <= 4 && numbers.iter().all(short)
}

/// `----`, `****`
fn is_rule(value: &str) -> bool {
    let sign = value.bytes().next().filter(u8::is_ascii_punctuation);
    sign.is_some_and(|sign| value.bytes().all(|byte| byte == sign))
}

#[cfg(test)]
mod tests {
    use super::is_guessable;

    #[test]
    fn only_what_everybody_knows() {
        let known = [
            "true",
            "False",
            "PRODUCTION",
            "localhost",
            "8080",
            "65535",
            "20.11.1",
            "v18.0",
            "0.0.0.0",
            "----",
            "en_US.UTF-8",
        ];
        for value in known {
            assert!(is_guessable(value), "{value}");
        }
        let secret = [
            "postgres",
            "admin",
            "root",
            "password",
            "secret",
            "changeme",
            "hunter2",
            "123456",
            "1.2.3.4.5",
            "80801234",
            "v",
            "1..2",
            "12a4",
            "productions",
            "-.-.",
            "äää",
            "",
        ];
        for value in secret {
            assert!(!is_guessable(value), "{value}");
        }
    }
}
