-- The deployments that have not started and wait for the same key. Pending ones
-- first, so that calling off the queued one promotes none of them. Two halves, so
-- that each has a partial index.
SELECT deployments.id, 0 AS turn, jobs.created_at
FROM jobs JOIN deployments ON deployments.job = jobs.id
WHERE jobs.concurrency_key = ?1 AND jobs.tenant = ?2 AND jobs.state = 'pending'
UNION ALL
SELECT deployments.id, 1 AS turn, jobs.created_at
FROM jobs JOIN deployments ON deployments.job = jobs.id
WHERE jobs.concurrency_key = ?1 AND jobs.tenant = ?2
  AND jobs.state IN ('queued', 'running')
  AND jobs.state = 'queued' AND jobs.attempt = 0
ORDER BY 2, 3, 1
