UPDATE jobs
SET state = $3, run_at = $4, attempt = $5, lease_until = NULL, error = $6,
    finished_at = $7, ended_by = $8, due_at = $9, start_by = $10
WHERE id = $1 AND fence = $2
