UPDATE jobs
SET state = ?2, fence = ?3, attempt = ?4, worker = ?5, lease_until = ?6, ended_by = NULL
WHERE rowid = ?1
