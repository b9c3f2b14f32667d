//! How a project goes.

use super::{Mutant, Suite};

const REMOVING: &str = "deployr-core/src/removing.rs";
const ATTEMPT: &str = "deployr-core/src/pipeline/attempt.rs";
const MEMORY: &str = "deployr-core/src/testing/memory/removals.rs";

pub(super) const REMOVAL: Suite = Suite {
    test: &["-p=deployr-core", "--test=removal"],
    mutants: &[
        Mutant {
            name: "the route of a removed project stays",
            file: REMOVING,
            find: "let unrouted = self.unroute(&project.slug).await;",
            replace: "let unrouted: StepResult<()> = Ok(());",
        },
        Mutant {
            name: "a schedule outlives its project",
            file: REMOVING,
            find: "        self.unschedule(&project).await?;\n",
            replace: "",
        },
        Mutant {
            name: "what waits is deployed while its project is removed",
            file: ATTEMPT,
            find: "    if project.removal.is_some() && !deployment.status.is_final() {",
            replace: "    if project.removal.is_some() && deployment.status.is_final() {",
        },
        Mutant {
            name: "what is forgotten is given to the next",
            file: MEMORY,
            find: "let heir = (!removal.forget).then(|| project.tenant.clone());",
            replace: "let heir = Some(project.tenant.clone());",
        },
    ],
};

/// The rules that each store keeps.
pub(super) const STORE: Suite = Suite {
    test: &["-p=deployr-store", "--test=sqlite", "keeps_every_rule"],
    mutants: &[
        Mutant {
            name: "sqlite: a project that is being removed is deployed",
            file: "deployr-store/src/sqlite/deployments.rs",
            find: "    must_stay(&projects::find(tx.db, &actor.tenant, new.project)?)?;\n",
            replace: "    projects::find(tx.db, &actor.tenant, new.project)?;\n",
        },
        Mutant {
            name: "sqlite: another tenant gets what is left behind",
            file: "deployr-store/src/sqlite/projects.rs",
            find: "WHERE slug = ?1 AND tenant IS NOT ?2",
            replace: "WHERE slug = ?1 AND tenant IS NULL AND ?2 IS NOT NULL",
        },
        Mutant {
            name: "sqlite: rows of a target that is not cleared go",
            file: "deployr-store/src/sqlite/removals.rs",
            find: "    must_be_cleared(&project, &removal)?;\n",
            replace: "",
        },
    ],
};
