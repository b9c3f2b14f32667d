-- Back into the queue with jobs that were taken a moment ago, and cannot be read. Nobody has
-- been told of the claim, so it is as if it had not been.
UPDATE jobs
SET state = 'queued', attempt = attempt - 1, fence = fence - 1, lease_until = NULL
WHERE id = ANY($1) AND worker = $2 AND state = 'running'
