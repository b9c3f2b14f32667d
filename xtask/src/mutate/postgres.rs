//! The Postgres store: each condition of each statement that a worker's claim must meet,
//! and the locks.

use super::{Mutant, Suite};

const BEAT: &str = "deployr-store/src/postgres/sql/heartbeat.sql";
const COMPLETE: &str = "deployr-store/src/postgres/sql/complete_jobs.sql";
const EXCHANGE: &str = "deployr-store/src/postgres/sql/exchange.sql";
const APPEND: &str = "deployr-store/src/postgres/sql/append_log.sql";
const PLACES: &str = "deployr-store/src/postgres/places.rs";
const JOBS: &str = "deployr-store/src/postgres/jobs.rs";
const QUEUE: &str = "deployr-store/src/postgres/queue.rs";

const fn mutant(
    name: &'static str,
    file: &'static str,
    find: &'static str,
    replace: &'static str,
) -> Mutant {
    Mutant {
        name,
        file,
        find,
        replace,
    }
}

pub(super) const FENCES: Suite = Suite {
    test: &["-p=deployr-store", "--test=postgres", "every_rule"],
    mutants: &[
        mutant(
            "postgres: a write without the fence",
            JOBS,
            "WHERE id = $1 AND fence = $2 AND worker = $3 FOR",
            "WHERE id = $1 AND (fence = $2 OR true) AND worker = $3 FOR",
        ),
        mutant(
            "postgres: a write without the worker",
            JOBS,
            "WHERE id = $1 AND fence = $2 AND worker = $3 FOR",
            "WHERE id = $1 AND fence = $2 AND (worker = $3 OR true) FOR",
        ),
        mutant(
            "postgres: a write of a job that is not running",
            JOBS,
            "Some((job, _)) if job.state == JobState::Running =>",
            "Some((job, None)) if job.fence.0 > 0 =>",
        ),
        mutant(
            "postgres: a heartbeat without the fence",
            BEAT,
            "fence = beat.fence",
            "(fence = beat.fence OR true)",
        ),
        mutant(
            "postgres: a heartbeat without the worker",
            BEAT,
            "worker = beat.worker",
            "(worker = beat.worker OR true)",
        ),
        mutant(
            "postgres: a heartbeat of a job that is not running",
            BEAT,
            "AND state = 'running'\n",
            "\n",
        ),
        mutant(
            "postgres: a completion without the fence",
            EXCHANGE,
            "fence = done.fence",
            "(fence = done.fence OR true)",
        ),
        mutant(
            "postgres: a completion without the worker",
            EXCHANGE,
            "worker = done.worker",
            "(worker = done.worker OR true)",
        ),
        mutant(
            "postgres: a completion of a job that is not running",
            EXCHANGE,
            "AND state = 'running'\n",
            "\n",
        ),
        mutant(
            "postgres: a completion with others without the fence",
            COMPLETE,
            "fence = done.fence",
            "(fence = done.fence OR true)",
        ),
        mutant(
            "postgres: a completion with others without the worker",
            COMPLETE,
            "worker = done.worker",
            "(worker = done.worker OR true)",
        ),
        mutant(
            "postgres: a completion with others of a job that is not running",
            COMPLETE,
            "AND state = 'running'\n",
            "\n",
        ),
        mutant(
            "postgres: a deployment's job completed",
            EXCHANGE,
            "NOT EXISTS (SELECT 1 FROM deployments WHERE deployments.job = done.job)",
            "true",
        ),
        mutant(
            "postgres: a deployment's job completed with others",
            COMPLETE,
            "NOT EXISTS (SELECT 1 FROM deployments WHERE deployments.job = done.job)",
            "true",
        ),
        mutant(
            "postgres: lines without the fence",
            APPEND,
            "jobs.fence = $2",
            "($2 > -1)",
        ),
        mutant(
            "postgres: lines without the worker",
            APPEND,
            "jobs.worker = $3",
            "($3::uuid IS NOT NULL)",
        ),
        mutant(
            "postgres: lines of a job that is not running",
            APPEND,
            "AND jobs.state = 'running'",
            "",
        ),
        mutant(
            "postgres: lines of another deployment",
            APPEND,
            "AND deployments.id = $7",
            "",
        ),
        mutant(
            "postgres: told what others hold",
            QUEUE,
            "WHERE state = 'running' AND worker = $1 ORDER BY id",
            "WHERE state = 'running' AND $1::uuid IS NOT NULL ORDER BY id",
        ),
        mutant(
            "postgres: a job given back twice",
            QUEUE,
            "Standing::GivenUp(_) => return Ok(()),",
            "Standing::GivenUp(_) => return Err(lost(claim.job)),",
        ),
        mutant(
            "postgres: a watch over leases that forgets",
            "deployr-store/src/postgres/sweep.rs",
            "if watch != stored {",
            "if watch != stored && term.is_zero() {",
        ),
        mutant(
            "postgres: a fence that does not rise",
            EXCHANGE,
            "fence = fence + 1",
            "fence = 1",
        ),
        mutant(
            "postgres: a job of an unknown kind claimed",
            EXCHANGE,
            "kind = ANY($7::text[])",
            "cardinality($7::text[]) > 0",
        ),
        mutant(
            "postgres: a job claimed that needs more than is offered",
            EXCHANGE,
            "needs <@ $11::text[]",
            "cardinality($11::text[]) > -1",
        ),
        mutant(
            "postgres: a paused kind claimed",
            EXCHANGE,
            "AND lanes.kind NOT IN (SELECT kind FROM paused)",
            "",
        ),
        mutant(
            "postgres: lanes in no order",
            EXCHANGE,
            "ORDER BY next.priority DESC, next.rank, next.id",
            "ORDER BY next.id",
        ),
        mutant(
            "postgres: a late job claimed",
            EXCHANGE,
            "CASE WHEN start_by >= now() THEN",
            "CASE WHEN start_by >= created_at THEN",
        ),
        mutant(
            "postgres: a job that has begun waits for ever",
            "deployr-store/src/postgres/sweep.rs",
            "state IN ('pending', 'queued') AND start_by",
            "state IN ('pending', 'queued') AND fence = 0 AND start_by",
        ),
        mutant(
            "postgres: an empty line far before the others",
            "deployr-store/src/postgres/sql/lines.sql",
            "SELECT min(first.rank)",
            "SELECT min(1)",
        ),
        mutant(
            "postgres: old jobs hidden by those that stay",
            "deployr-store/src/postgres/retention.rs",
            "next = last;",
            "next = last.filter(|_| removed > 0);",
        ),
        mutant(
            "postgres: tenants that take no turns",
            "deployr-store/src/postgres/lines.rs",
            "own.unwrap_or_default() + 1",
            "own.unwrap_or_default()",
        ),
        mutant(
            "postgres: a line that begins anew",
            "deployr-store/src/postgres/lines.rs",
            "first.unwrap_or(1)",
            "first.map_or(1, |_| 1)",
        ),
        mutant(
            "postgres: one place too many",
            PLACES,
            "taken.unwrap_or_default() < i64",
            "taken.unwrap_or_default() <= i64",
        ),
        mutant(
            "postgres: a promoted job without its places",
            PLACES,
            "    note(tx.db(), std::iter::once(&job)).await?;\n    Ok(has_room)",
            "    Ok(has_room)",
        ),
    ],
};

pub(super) const LOCKS: Suite = Suite {
    test: &["-p=deployr-store", "--test=postgres", "a_"],
    mutants: &[
        mutant(
            "postgres: a claim that waits for others",
            EXCHANGE,
            "FOR NO KEY UPDATE SKIP LOCKED",
            "FOR NO KEY UPDATE",
        ),
        mutant(
            "postgres: jobs locked as they come",
            "deployr-store/src/postgres/exchange.rs",
            "    jobs::lock(tx, &parts.jobs).await?;\n",
            "",
        ),
        mutant(
            "postgres: a deadlock told to the caller",
            "deployr-store/src/postgres/error.rs",
            "b\"40001\" | b\"40P01\" =>",
            "b\"40001\" =>",
        ),
    ],
};

pub(super) const KEYS: Suite = Suite {
    test: &["-p=deployr-store", "--test=postgres_queue", "a"],
    mutants: &[
        mutant(
            "postgres: the other keys of the next not locked",
            "deployr-store/src/postgres/sql/keys_of.sql",
            "LIMIT 10",
            "LIMIT 0",
        ),
        mutant(
            "postgres: a sweep that promotes without the locks",
            PLACES,
            "if !try_lock(tx, &keys).await? {",
            "if !try_lock(tx, &keys).await? && keys.is_empty() {",
        ),
        mutant(
            "postgres: a sweep that waits for a row",
            PLACES,
            "FOR NO KEY UPDATE SKIP LOCKED",
            "FOR NO KEY UPDATE",
        ),
        mutant(
            "postgres: a sweep that finds nobody who waits",
            "deployr-store/src/postgres/sql/jobs_with_room.sql",
            "waiting.max > coalesce(taken.places, 0)",
            "waiting.max < coalesce(taken.places, 0)",
        ),
        mutant(
            "postgres: a line that is read whole",
            EXCHANGE,
            "ORDER BY priority DESC, rank, id\n        LIMIT $6",
            "ORDER BY priority DESC, rank + 0, id\n        LIMIT $6",
        ),
        mutant(
            "postgres: keys that are not locked",
            "deployr-store/src/postgres/sql/lock_keys.sql",
            "pg_advisory_xact_lock(lock)",
            "lock",
        ),
        mutant(
            "postgres: keys locked as they come",
            "deployr-store/src/postgres/sql/lock_keys.sql",
            "SELECT DISTINCT hashtextextended(current_schema() || ':' || key, 0) AS lock\n    FROM unnest($1::text[]) AS keys (key)\n    ORDER BY lock",
            "SELECT hashtextextended(current_schema() || ':' || key, 0) AS lock\n    FROM unnest($1::text[]) AS keys (key)",
        ),
    ],
};
