-- Of the claims ($1 jobs, $2 fences, $3 workers) those whose jobs are held, have no key to
-- free, and carry out no deployment.
WITH plain AS MATERIALIZED (
    SELECT held.id
    FROM (
        SELECT job, fence, worker
        FROM unnest($1::uuid[], $2::bigint[], $3::uuid[]) AS done (job, fence, worker)
        ORDER BY job
    ) AS done
    CROSS JOIN LATERAL (
        SELECT id FROM jobs
        WHERE id = done.job AND fence = done.fence AND worker = done.worker
          AND state = 'running'
          AND limits IS NULL
          AND NOT EXISTS (SELECT 1 FROM deployments WHERE deployments.job = done.job)
        -- As in `exchange.sql`.
        LIMIT 1
        FOR NO KEY UPDATE
    ) AS held
)
UPDATE jobs
SET state = $4, lease_until = NULL, finished_at = now(), ended_by = $5
WHERE id = ANY(ARRAY(SELECT id FROM plain))
RETURNING id, fence, worker
