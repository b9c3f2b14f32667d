INSERT INTO job_keys (key, job, max, holds, priority, created_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT (key, job) DO UPDATE SET holds = excluded.holds
