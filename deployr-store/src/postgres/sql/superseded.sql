-- The deployments that have not started and wait for the same key, and their jobs
-- locked. Pending ones first, so that calling off the queued one promotes none of them.
SELECT deployments.id
FROM jobs JOIN deployments ON deployments.job = jobs.id
WHERE jobs.tenant = $2
  AND (
      (jobs.concurrency_key = $1 AND jobs.state = 'pending')
      OR (jobs.concurrency_key = $1 AND jobs.state = 'queued' AND jobs.attempt = 0)
  )
ORDER BY jobs.state = 'queued', jobs.created_at, jobs.id
FOR NO KEY UPDATE OF jobs
