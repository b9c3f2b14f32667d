-- Of the claims ($1 jobs, $2 fences, $3 workers) those whose jobs are held, have no key to
-- free, and carry out no deployment.
WITH plain AS MATERIALIZED (
    SELECT jobs.id
    FROM jobs
    JOIN unnest($1::uuid[], $2::bigint[], $3::uuid[]) AS done (job, fence, worker)
      ON jobs.id = done.job AND jobs.fence = done.fence AND jobs.worker = done.worker
    WHERE jobs.state = 'running'
      AND jobs.limits IS NULL
      AND NOT EXISTS (SELECT 1 FROM deployments WHERE deployments.job = jobs.id)
    ORDER BY jobs.id
    FOR NO KEY UPDATE OF jobs
)
UPDATE jobs
SET state = $4, lease_until = NULL, finished_at = now(), ended_by = $5
WHERE id = ANY(ARRAY(SELECT id FROM plain))
RETURNING id, fence, worker
