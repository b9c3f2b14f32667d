SELECT id FROM jobs
WHERE due_at <= ?1
ORDER BY priority DESC, created_at, id
