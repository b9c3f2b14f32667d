-- The keys of the jobs $1, the keys $2, and those of the jobs that are the next to get a place
-- of one of them.
WITH own AS MATERIALIZED (
    SELECT key FROM job_keys WHERE job = ANY($1)
    UNION SELECT unnest($2::text[])
)
SELECT key FROM own
UNION
SELECT others.key
FROM own
CROSS JOIN LATERAL (
    SELECT job FROM job_keys
    WHERE key = own.key AND NOT holds
    ORDER BY priority DESC, created_at, job
    LIMIT 10
) AS next
JOIN job_keys AS others ON others.job = next.job
