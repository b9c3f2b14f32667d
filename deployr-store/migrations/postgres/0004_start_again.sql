-- A job that comes back to the queue has its time to start anew. Of those that have begun, the
-- longest that they may have had is the time since they were added.
UPDATE jobs SET start_by = least(run_at + (start_by - created_at), '9999-12-31 23:59:59.999999Z')
WHERE state IN ('pending', 'queued', 'running') AND fence > 0;

DROP INDEX jobs_unstarted;
CREATE INDEX jobs_waiting ON jobs (start_by, id) WHERE state IN ('pending', 'queued');
