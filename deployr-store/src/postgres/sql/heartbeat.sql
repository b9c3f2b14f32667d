-- Rows are locked in the order of their ids, as by everybody who locks several.
WITH held AS MATERIALIZED (
    SELECT jobs.id
    FROM jobs
    JOIN unnest($1::uuid[], $2::bigint[], $3::uuid[]) AS beats (job, fence, worker)
      ON jobs.id = beats.job AND jobs.fence = beats.fence AND jobs.worker = beats.worker
    WHERE jobs.state = 'running'
    ORDER BY jobs.id
    FOR NO KEY UPDATE OF jobs
)
UPDATE jobs SET lease_until = least(now() + $4, '9999-12-31 23:59:59.999999Z')
WHERE id = ANY(ARRAY(SELECT id FROM held))
RETURNING id, fence, worker, cancel_requested
