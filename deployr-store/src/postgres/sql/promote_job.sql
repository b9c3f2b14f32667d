UPDATE jobs SET state = $2
WHERE id = (
    SELECT id FROM jobs
    WHERE concurrency_key = $1 AND state = 'pending'
    ORDER BY created_at, id
    LIMIT 1
)
AND NOT EXISTS (
    SELECT 1 FROM jobs
    WHERE concurrency_key = $1 AND state IN ('queued', 'running')
)
