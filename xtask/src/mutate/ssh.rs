//! What keeps a server's old release, and says why.

use super::{Mutant, Suite};

const JOB: &str = "deployr-exec/src/ssh/host/job.sh";

/// On a real `sshd` whose disk is full.
pub(super) const FULL: Suite = Suite {
    test: &["-p=deployr-exec", "--test=ssh", "full::"],
    mutants: &[
        Mutant {
            name: "a full disk of a server is taken for what passes",
            file: "deployr-exec/src/ssh/host/switch.sh",
            find: "printf '%s %s\\n' \"$3\" \"$4\" | put \"$base/turn.new\"",
            replace: "printf '%s %s\\n' \"$3\" \"$4\" >\"$base/turn.new\"",
        },
        Mutant {
            name: "a command that has filled a disk has failed by itself",
            file: "deployr-exec/src/ssh/job.rs",
            find: "ended if !full.is_empty() => {",
            replace: "ended if full == \"?\" => {",
        },
        Mutant {
            name: "a command's end has no room on a full disk",
            file: JOB,
            find: "        printf \"%3s\\n\" \"\" >\"$job/exit.new\"\n",
            replace: "",
        },
        Mutant {
            name: "a command begins on a full disk",
            file: JOB,
            find: "    room\n    : >>\"$job/log\"\n",
            replace: "    : >>\"$job/log\"\n",
        },
    ],
};

/// On several real ones.
pub(super) const HOSTS: Suite = Suite {
    test: &["-p=deployr-exec", "--test=ssh", "hosts::"],
    mutants: &[
        Mutant {
            name: "one server is switched before all are ready",
            file: "deployr-exec/src/ssh/switch.rs",
            find: "let before = host.ready(&asked.spec, asked.turn).await?;",
            replace: "let before = host.ready(&asked.spec, asked.turn).await.unwrap_or_default();",
        },
        Mutant {
            name: "servers stay switched where one is not",
            file: "deployr-exec/src/ssh/switch.rs",
            find: "        if switched.is_err() {\n",
            replace: "        if switched.is_err() && before.is_empty() {\n",
        },
    ],
};

/// On one that is not what it was.
pub(super) const TROUBLE: Suite = Suite {
    test: &["-p=deployr-exec", "--test=ssh", "trouble::a_host_whose_key"],
    mutants: &[Mutant {
        name: "a server with another key is believed",
        file: "deployr-exec/src/ssh/session.rs",
        find: ".known_hosts_check(KnownHosts::Strict)",
        replace: ".known_hosts_check(KnownHosts::Accept)",
    }],
};

/// Commands that a release or an operator brings along.
pub(super) const COMMANDS: Suite = Suite {
    test: &["-p=deployr-exec", "--test=ssh", "hooks::"],
    mutants: &[
        Mutant {
            name: "the next attempt migrates again",
            file: "deployr-exec/src/ssh/release.rs",
            find: "let name = format!(\"{}-{}-migrate\", ctx.deployment, spec.commit);",
            replace: "let name = format!(\"{}-{}-migrate\", ctx.deployment, ctx.attempt);",
        },
        Mutant {
            name: "a command runs again after its end was not heard",
            file: JOB,
            find: "if [ ! -L \"$job/pid\" ] && [ ! -e \"$job/exit\" ]; then",
            replace: "if ! process_of \"$job/pid\" >/dev/null; then rm -f -- \"$job/pid\" \"$job/exit\"",
        },
        Mutant {
            name: "variables of a command are seen by everybody",
            file: JOB,
            find: "\"$folder\" \"$number\" \"$@\" >/dev/null 2>&1 &",
            replace: "\"$folder\" \"$number\" \"$@\" \"$env\" >/dev/null 2>&1 &",
        },
    ],
};

/// What is there already.
pub(super) const FILES: Suite = Suite {
    test: &["-p=deployr-exec", "--test=ssh", "files::"],
    mutants: &[
        Mutant {
            name: "a server's lock is not asked for before the switch",
            file: "deployr-exec/src/ssh/host/switch.sh",
            find: "still_locked\nmv -f -- \"$base/turn.new\" \"$base/turn\"\n",
            replace: "mv -f -- \"$base/turn.new\" \"$base/turn\"\n",
        },
        Mutant {
            name: "a server takes an older deployment's switch",
            file: "deployr-exec/src/ssh/host/switch.sh",
            find: "check_turn \"$3\" \"$4\"\n",
            replace: "",
        },
        Mutant {
            name: "a lease that has expired is kept",
            file: "deployr-exec/src/ssh/host/lock.sh",
            find: "if [ -n \"$holder\" ] && [ \"${holder##*:}\" -lt \"$now\" ]; then",
            replace: "if [ -n \"$holder\" ] && [ \"${holder##*:}\" -lt 0 ]; then",
        },
    ],
};
