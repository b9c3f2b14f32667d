-- A job that is held, has no places to give up, and carries out no deployment.
UPDATE jobs
SET state = ?4, lease_until = NULL, finished_at = ?5, ended_by = ?6
WHERE id = ?1 AND fence = ?2 AND worker = ?3 AND state = 'running'
  AND limits IS NULL
  AND NOT EXISTS (SELECT 1 FROM deployments WHERE deployments.job = jobs.id)
