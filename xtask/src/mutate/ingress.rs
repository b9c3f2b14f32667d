//! What visitors come through: whose a route is, what it shows, and whose a domain is.

use super::{Mutant, Suite};

const CADDY: &str = "deployr-exec/src/ingress/caddy/change.rs";
const DOMAINS: &str = "deployr-core/src/engine/domains.rs";

pub(super) const ROUTES: Suite = Suite {
    test: &["-p=deployr-exec", "--all-features", "--test=caddy"],
    mutants: &[
        Mutant {
            name: "a change of Caddy's routes that another has overtaken",
            file: CADDY,
            find: "            only_if,\n            body,",
            replace: "            only_if: only_if.filter(|_| false),\n            body,",
        },
        Mutant {
            name: "a lower turn taken by Caddy",
            file: CADDY,
            find: "&& route.turn < before.turn\n",
            replace: "&& route.turn < before.turn && false\n",
        },
        Mutant {
            name: "a link followed out of a release by Caddy",
            file: "deployr-exec/src/ingress/caddy/files.rs",
            find: "hidden.push(path);",
            replace: "drop(path);",
        },
    ],
};

pub(super) const DRAIN: Suite = Suite {
    test: &[
        "-p=deployr-exec",
        "--all-features",
        "--test=conformance",
        "caddy",
    ],
    mutants: &[Mutant {
        name: "requests of a former release forgotten by Caddy",
        file: "deployr-exec/src/ingress/caddy/config.rs",
        find: "for former in &entry.former {",
        replace: "for former in entry.former.iter().filter(|_| false) {",
    }],
};

pub(super) const OWNERS: Suite = Suite {
    test: &["-p=deployr-core", "--all-features", "--test=domains"],
    mutants: &[
        Mutant {
            name: "a domain taken from whoever shows it",
            file: DOMAINS,
            find: "if !found.contains(&holder.token)",
            replace: "if found.contains(&holder.token)",
        },
        Mutant {
            name: "a domain shown by somebody else's record",
            file: DOMAINS,
            find: "self.found.contains(&self.domain.token)",
            replace: "!self.found.is_empty()",
        },
    ],
};
