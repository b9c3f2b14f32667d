-- ?1 the present. Two halves, so that each walks through a partial index, which holds
-- all that it needs.
SELECT id, start_by FROM jobs
WHERE state = 'queued' AND start_by <= ?1
UNION ALL
SELECT id, start_by FROM jobs
WHERE state = 'pending' AND start_by <= ?1
ORDER BY 2
