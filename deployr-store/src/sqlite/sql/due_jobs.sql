-- ?1 the present, ?2 the kinds as a JSON array.
SELECT * FROM jobs
WHERE state = 'queued'
  AND run_at <= ?1
  AND (fence > 0 OR start_by >= ?1)
  AND kind IN (SELECT value FROM json_each(?2))
ORDER BY run_at, id
