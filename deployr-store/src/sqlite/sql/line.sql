-- ?1 the lane, ?2 the present, ?3 and ?4 the lane's kind and needs.
SELECT *, ?3, ?4, rowid FROM jobs
WHERE state = 'queued'
  AND lane = ?1
  AND start_by >= ?2
ORDER BY priority DESC, rank, id
