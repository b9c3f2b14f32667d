-- Those that wait for places although each of their keys has one left, in the order in which
-- they get them.
WITH taken AS MATERIALIZED (
    SELECT key, count(*) AS places FROM job_keys WHERE holds = 1 GROUP BY key
)
SELECT waiting.job
FROM job_keys AS waiting LEFT JOIN taken ON taken.key = waiting.key
WHERE waiting.holds = 0
GROUP BY waiting.job, waiting.priority, waiting.created_at
HAVING min(waiting.max - coalesce(taken.places, 0)) > 0
ORDER BY waiting.priority DESC, waiting.created_at, waiting.job
