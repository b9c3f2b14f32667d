-- Notes the keys ($1) of jobs ($3), with how many places each has ($2). A job that has a place
-- in line has its places; another one waits for them.
INSERT INTO job_keys (key, job, max, holds, priority, created_at)
SELECT DISTINCT ON (new.key, jobs.id)
    new.key, jobs.id, new.max, jobs.rank IS NOT NULL, jobs.priority, jobs.created_at
FROM unnest($1::text[], $2::bigint[], $3::uuid[]) AS new (key, max, job)
JOIN jobs ON jobs.id = new.job
ON CONFLICT (key, job) DO UPDATE SET holds = excluded.holds
