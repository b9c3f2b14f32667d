-- Up to $2 that wait for places although each of their keys has one left, without the jobs $3.
-- $1, the present, is looked at only so that each sort of rows is asked for alike.
WITH taken AS MATERIALIZED (
    SELECT key, count(*) AS places FROM job_keys WHERE holds GROUP BY key
)
SELECT waiting.job
FROM job_keys AS waiting LEFT JOIN taken ON taken.key = waiting.key
WHERE NOT waiting.holds
  AND waiting.job <> ALL($3::uuid[])
  AND $1::timestamptz IS NOT NULL
GROUP BY waiting.job, waiting.priority, waiting.created_at
HAVING bool_and(waiting.max > coalesce(taken.places, 0))
ORDER BY waiting.priority DESC, waiting.created_at, waiting.job
LIMIT $2
