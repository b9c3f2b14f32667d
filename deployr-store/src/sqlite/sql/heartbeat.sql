UPDATE jobs SET lease_until = ?4
WHERE id = ?1 AND fence = ?2 AND worker = ?3 AND state = 'running'
RETURNING cancel_requested
