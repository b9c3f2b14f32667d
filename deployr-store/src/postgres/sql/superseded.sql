-- The project's deployments that have not started, the newest first, so that none is
-- promoted only to be called off; their jobs locked.
SELECT deployments.id
FROM deployments JOIN jobs ON jobs.id = deployments.job
WHERE deployments.project = $1
  AND deployments.finished_at IS NULL
  AND jobs.state IN ('pending', 'queued')
  AND jobs.attempt = 0
ORDER BY deployments.number DESC
FOR NO KEY UPDATE OF jobs
