UPDATE jobs
SET state = ?2, run_at = ?3, attempt = ?4, lease_until = NULL, error = ?5,
    finished_at = ?6, ended_by = ?7, due_at = ?8
WHERE id = ?1
