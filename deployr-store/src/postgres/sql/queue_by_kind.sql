-- The states are spelt out for the partial indexes. $1 is why a job was rescued.
WITH open AS (
    SELECT kind, state, error, NULL::timestamptz AS ready FROM jobs WHERE state = 'pending'
    UNION ALL
    SELECT kind, state, error, run_at FROM jobs WHERE state = 'queued'
    UNION ALL
    SELECT kind, state, error, NULL FROM jobs WHERE state = 'running'
)
SELECT kind,
    count(*) FILTER (WHERE state = 'pending') AS pending,
    count(*) FILTER (WHERE state = 'queued') AS queued,
    count(*) FILTER (WHERE state = 'running') AS running,
    count(*) FILTER (WHERE error = $1) AS rescued,
    min(ready) AS oldest
FROM open
GROUP BY kind
ORDER BY kind
