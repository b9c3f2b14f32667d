//! What a release on a swarm is given, and when it counts as up.

use super::{Mutant, Suite};

/// Asked of what Swarm tells.
pub(super) const UP: Suite = Suite {
    test: &["-p=deployr-exec", "--lib", "swarm"],
    mutants: &[Mutant {
        name: "one replica of many is enough",
        file: "deployr-exec/src/docker/swarm/tasks.rs",
        find: "if running >= usize::from(wanted) {",
        replace: "if running >= usize::from(wanted.min(1)) {",
    }],
};

/// On a real swarm.
pub(super) const VALUES: Suite = Suite {
    test: &["-p=deployr-exec", "--test=swarm", "values"],
    mutants: &[
        Mutant {
            name: "a value is taken for a template",
            file: "deployr-exec/src/docker/swarm/service.rs",
            find: "text.replace(\"{{\", r#\"{{\"{{\"}}\"#)",
            replace: "text.to_owned()",
        },
        Mutant {
            name: "a secret is a variable, too",
            file: "deployr-exec/src/docker/swarm/service.rs",
            find: "!secrets::is_secret(&spec.env, name);",
            replace: "!name.is_empty() && !spec.env.is_empty();",
        },
        Mutant {
            name: "a secret that outlives its service",
            file: "deployr-exec/src/docker/swarm/remove.rs",
            find: "secret.number == number) {",
            replace: "secret.number < 0) {",
        },
    ],
};
