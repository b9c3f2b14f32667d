-- The first that wait for a place of a key, in the order in which they get it.
SELECT priority, created_at, job FROM job_keys
WHERE holds = 0 AND key = ?1
ORDER BY priority DESC, created_at, job
LIMIT 100
