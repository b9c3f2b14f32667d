-- Of the first that wait for a place of one of the keys $1, without the jobs $2, the next one
-- that has room in all of its keys.
SELECT next.job
FROM unnest($1::text[]) AS free (key)
CROSS JOIN LATERAL (
    SELECT job, priority, created_at FROM job_keys
    WHERE key = free.key AND NOT holds AND job <> ALL($2::uuid[])
    ORDER BY priority DESC, created_at, job
    LIMIT 100
) AS next
WHERE NOT EXISTS (
    SELECT 1 FROM job_keys AS wanted
    WHERE wanted.job = next.job
      AND wanted.max <= (
          SELECT count(*) FROM job_keys AS taken
          WHERE taken.key = wanted.key AND taken.holds
      )
)
ORDER BY next.priority DESC, next.created_at, next.job
LIMIT 1
