-- A job that comes back to the queue has its time to start anew. Of those that have begun, the
-- longest that they may have had is the time since they were added.
UPDATE jobs SET start_by = min(run_at + (start_by - created_at), 253402300799999999)
WHERE state IN ('pending', 'queued', 'running') AND fence > 0;
