-- ?1 the present. Two halves, so that each walks through a partial index, which holds
-- all that it needs but, of those that are pending, the fence.
SELECT id, start_by FROM jobs
WHERE state = 'queued' AND start_by <= ?1 AND fence = 0
UNION ALL
SELECT id, start_by FROM jobs
WHERE state = 'pending' AND start_by <= ?1 AND fence = 0
ORDER BY 2
