UPDATE jobs
SET state = ?2, run_at = ?3, start_by = ?4, attempt = ?5, lease_until = NULL, error = ?6,
    finished_at = ?7, ended_by = ?8, due_at = ?9
WHERE id = ?1
