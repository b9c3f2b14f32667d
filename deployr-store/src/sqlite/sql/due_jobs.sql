-- ?1 the present. Which kinds are wanted, the reader looks at: a list of them would be
-- a table that SQLite fills for each claim.
SELECT *, rowid FROM jobs
WHERE state = 'queued'
  AND run_at <= ?1
  AND (fence > 0 OR start_by >= ?1)
ORDER BY run_at, id
