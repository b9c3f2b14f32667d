SELECT DISTINCT concurrency_key FROM jobs AS waiting
WHERE state = 'pending'
  AND NOT EXISTS (
      SELECT 1 FROM jobs AS holder
      WHERE holder.concurrency_key = waiting.concurrency_key
        AND holder.state IN ('queued', 'running')
  )
