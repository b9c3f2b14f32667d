//! What keeps compose files from harm, and releases of them apart.

use super::{Mutant, Suite};

const RULES: &str = "deployr-exec/src/docker/compose/rules.rs";
const PARTS: &str = "deployr-exec/src/docker/compose/parts.rs";

/// What may be run.
pub(super) const ALLOWED: Suite = Suite {
    test: &["-p=deployr-exec", "--lib", "compose"],
    mutants: &[
        Mutant {
            name: "a compose file mounts what it likes",
            file: RULES,
            find: "(\"bind\", Some(path)) if is_inside(root, Path::new(path)) => Ok(()),",
            replace: "(\"bind\", Some(_)) => Ok(()),",
        },
        Mutant {
            name: "a compose file reads what it likes",
            file: RULES,
            find: "match path.contains('$') || !is_inside(root, &root.join(path)) {",
            replace: "match path.contains('\\0') {",
        },
        Mutant {
            name: "a link that leads nowhere yet is inside",
            file: RULES,
            find: "Err(_) if fs::symlink_metadata(there).is_ok() => return false,",
            replace: "Err(_) if fs::symlink_metadata(there).is_ok() => return true,",
        },
        Mutant {
            name: "a compose file leads to where it was built",
            file: "deployr-exec/src/docker/compose/resolved.rs",
            find: "let there: PathBuf = to.join(inner).components().collect();",
            replace: "let there: PathBuf = from.join(inner).components().collect();",
        },
    ],
};

/// What is said to be impossible before anything is built.
pub(super) const REFUSED: Suite = Suite {
    test: &["-p=deployr-exec", "--test=matrix"],
    mutants: &[Mutant {
        name: "workers that a compose target leaves out",
        file: "deployr-exec/src/docker/compose/steps.rs",
        find: "        workers::refuse(\"Compose\", recipe)?;\n",
        replace: "        let _ = workers::refuse(\"Compose\", recipe);\n",
    }],
};

/// On a real engine.
pub(super) const SERVICES: Suite = Suite {
    test: &["-p=deployr-exec", "--test=compose"],
    mutants: &[
        Mutant {
            name: "a database that is there twice",
            file: PARTS,
            find: "let why = if volume.any(|mount| mount.source.is_some()) {",
            replace: "let why = if volume.any(|mount| mount.source.is_none()) {",
        },
        Mutant {
            name: "a retired generation goes on",
            file: "deployr-exec/src/docker/compose/steps.rs",
            find: "        self.remove_generation(slug, number, grace).await\n",
            replace: "        drop(grace);\n        Ok(())\n",
        },
        Mutant {
            name: "a generation without the project's variables",
            file: PARTS,
            find: "own.filter(|(name, _)| *name != \"PORT\" && ",
            replace: "own.filter(|(name, _)| *name == \"PORT\" && ",
        },
    ],
};
