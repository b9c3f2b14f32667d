-- Looks at the $4 jobs that come behind $1, of those with an id below $2, and removes up to $5 that
-- were over before $3 and of no deployment; how many that were, and the last that was looked at
-- unless there are no more. What is over has no keys and is never locked for long.
WITH old AS MATERIALIZED (
    SELECT id, finished_at FROM jobs WHERE id > $1 AND id < $2 ORDER BY id LIMIT $4
), gone AS (
    DELETE FROM jobs WHERE id = ANY(ARRAY(
        SELECT id FROM jobs
        WHERE id = ANY(ARRAY(
            SELECT id FROM old
            WHERE finished_at < $3
              AND NOT EXISTS (SELECT 1 FROM deployments WHERE deployments.job = old.id)
            ORDER BY id
            LIMIT $5
        ))
        FOR UPDATE SKIP LOCKED
    ))
    RETURNING id
)
SELECT (SELECT count(*) FROM gone), (SELECT id FROM old ORDER BY id OFFSET $4 - 1 LIMIT 1)
