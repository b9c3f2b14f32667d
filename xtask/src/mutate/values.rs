//! Values from outside: what is taken then that must be refused.

use super::{Mutant, Suite};

pub(super) const HOSTILE: Suite = Suite {
    test: &["-p=deployr-core", "--test=hostile"],
    mutants: &[
        Mutant {
            name: "a branch that is an option",
            file: "deployr-core/src/value/git_ref.rs",
            find: "        _ if name.starts_with('-') => \"must not start with '-'\",\n",
            replace: "",
        },
        Mutant {
            name: "a branch with a shell in it",
            file: "deployr-core/src/value/git_ref.rs",
            find: "name.chars().any(is_shell_meta)",
            replace: "name.is_empty()",
        },
        Mutant {
            name: "an address in a private network",
            file: "deployr-core/src/value/git_url/parse.rs",
            find: "if !policy.allow_private_hosts && is_private_host(&host) {",
            replace: "if policy.allow_private_hosts && is_private_host(&host) {",
        },
        Mutant {
            name: "an address with a way up",
            file: "deployr-core/src/value/git_url/parse.rs",
            find: "matches!(&*decoded, \"\" | \".\" | \"..\")",
            replace: "matches!(&*decoded, \"\" | \".\")",
        },
        Mutant {
            name: "an address of a helper",
            file: "deployr-core/src/value/git_url/parse.rs",
            find: ".is_some_and(|(helper, _)| is_scheme(helper))",
            replace: ".is_some_and(|(helper, _)| helper.is_empty() && is_scheme(helper))",
        },
        Mutant {
            name: "a path with an escape",
            file: "deployr-core/src/value/rel_path.rs",
            find: "if has_escape(input) {",
            replace: "if input.is_empty() && has_escape(input) {",
        },
        Mutant {
            name: "a path of other letters",
            file: "deployr-core/src/value/rel_path.rs",
            find: "let folded: String = input.nfkc().collect();",
            replace: "let folded: String = input.nfc().collect();",
        },
        Mutant {
            name: "a command in another order",
            file: "deployr-core/src/value/build_command.rs",
            find: "if command.contains(reorders) {",
            replace: "if command.is_empty() && command.contains(reorders) {",
        },
        Mutant {
            name: "a command that is an option",
            file: "deployr-core/src/value/build_command.rs",
            find: "command if command.starts_with(['-', '+'])",
            replace: "command if command.starts_with(['+'])",
        },
        Mutant {
            name: "a name of two alphabets",
            file: "deployr-core/src/value/project_name.rs",
            find: ".any(mixes_alphabets)",
            replace: ".any(|word| word.is_empty() && mixes_alphabets(word))",
        },
        Mutant {
            name: "a variable of the engine's",
            file: "deployr-core/src/value/env.rs",
            find: "prefix.is_some_and(|prefix| prefix.eq_ignore_ascii_case(RESERVED_PREFIX))",
            replace: "prefix.is_some_and(|prefix| prefix == RESERVED_PREFIX)",
        },
        Mutant {
            name: "a port with a leading zero",
            file: "deployr-core/src/value/port.rs",
            find: " && !input.starts_with('0')",
            replace: "",
        },
        Mutant {
            name: "a line in another order",
            file: "deployr-core/src/log/clean.rs",
            find: "matches!(c, '\\u{202a}'..='\\u{202e}' | '\\u{2066}'..='\\u{2069}')",
            replace: "matches!(c, '\\u{202a}'..='\\u{202e}')",
        },
    ],
};

pub(super) const PATHS: Suite = Suite {
    test: &["-p=deployr-exec", "--test=builder", "paths::"],
    mutants: &[Mutant {
        name: "an output that leads out",
        file: "deployr-exec/src/local/build/output.rs",
        find: "if !real.starts_with(checkout) {",
        replace: "if !real.starts_with(\"/\") {",
    }],
};
