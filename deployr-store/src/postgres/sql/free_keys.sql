-- Of the keys of which jobs wait, those that no job has; $2 of them behind the first $3.
-- $1, the present, is looked at only so that each sort of rows is asked for alike.
SELECT DISTINCT concurrency_key FROM jobs AS waiting
WHERE state = 'pending' AND $1::timestamptz IS NOT NULL
  AND NOT EXISTS (
      SELECT 1 FROM jobs AS holder
      WHERE holder.concurrency_key = waiting.concurrency_key
        AND holder.state IN ('queued', 'running')
  )
ORDER BY concurrency_key
LIMIT $2 OFFSET $3
