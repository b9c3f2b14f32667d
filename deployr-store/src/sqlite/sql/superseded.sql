-- The project's deployments that have not started, the newest first, so that none is
-- promoted only to be called off.
SELECT deployments.id
FROM deployments JOIN jobs ON jobs.id = deployments.job
WHERE deployments.project = ?1
  AND deployments.finished_at IS NULL
  AND (jobs.state = 'pending' OR jobs.state = 'queued')
  AND jobs.attempt = 0
ORDER BY deployments.number DESC
