UPDATE deployments
SET status = $2, stage = $3, commit_id = $4, release = $5, failure = $6,
    started_at = $7, finished_at = $8
WHERE id = $1
