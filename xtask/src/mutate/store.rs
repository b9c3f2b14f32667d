//! The store: what a transaction must refuse, and what it must not leave out.

use super::{Mutant, Suite};

const JOBS: &str = "deployr-store/src/sqlite/jobs.rs";
const QUEUE: &str = "deployr-store/src/sqlite/queue.rs";
const MOVES: &str = "deployr-store/src/sqlite/moves.rs";

/// A sample of the calls is struck.
pub(super) const SQLITE: Suite = Suite {
    test: &["-p=deployr-store", "--test=fault_sweep", "a_fault"],
    mutants: &[
        Mutant {
            name: "a write taken from whoever lost the lease",
            file: JOBS,
            find: "\"SELECT * FROM job_rows WHERE id = ?1 AND fence = ?2 AND worker = ?3 AND state = 'running'\"",
            replace: "\"SELECT * FROM job_rows WHERE id = ?1 AND (fence = ?2 OR worker = ?3 OR TRUE) AND state = 'running'\"",
        },
        Mutant {
            name: "a lease taken back by a heartbeat",
            file: "deployr-store/src/sqlite/sql/heartbeat.sql",
            find: "fence = ?2 AND worker = ?3",
            replace: "(fence = ?2 OR worker = ?3 OR TRUE)",
        },
        Mutant {
            name: "a fence that does not rise",
            file: QUEUE,
            find: "job.fence = Fence(job.fence.0 + 1);",
            replace: "job.fence = Fence(1);",
        },
        Mutant {
            name: "a job of an unknown kind claimed",
            file: "deployr-store/src/sqlite/lines.rs",
            find: ".any(|kind| kind.as_str() == lane.kind)",
            replace: ".any(|kind| !kind.as_str().is_empty())",
        },
        Mutant {
            name: "a sweep that a poisoned row stops",
            file: "deployr-store/src/sqlite/sweep.rs",
            find: "Err(error) if !tx.is_over() && error.is_of_one_row() => {",
            replace: "Err(error) if tx.is_over() && error.is_of_one_row() => {",
        },
        Mutant {
            name: "a stage that stays open",
            file: MOVES,
            find: "WHERE deployment = ?1 AND ended_at IS NULL\"",
            replace: "WHERE deployment = ?1 AND ended_at = ?2\"",
        },
        Mutant {
            name: "a job over and its deployment not",
            file: "deployr-store/src/sqlite/deployments.rs",
            find: "    moves::end(tx, &mut deployment, event, failure, ENGINE)?;\n    Ok(deployment)",
            replace: "    let _ = (event, failure, ENGINE);\n    Ok(deployment)",
        },
        Mutant {
            name: "nobody told of the end",
            file: MOVES,
            find: "    notify(tx, deployment)\n}",
            replace: "    if deployment.number > 0 {\n        return Ok(());\n    }\n    notify(tx, deployment)\n}",
        },
        Mutant {
            name: "lines that are there already stored again",
            file: "deployr-store/src/sqlite/logs.rs",
            find: "lines.get(known..)",
            replace: "lines.get(known - known..)",
        },
    ],
};
