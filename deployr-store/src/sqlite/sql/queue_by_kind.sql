-- The states are spelt out for the partial indexes. ?1 is why a job was rescued.
WITH open AS (
    SELECT lane, 'pending' AS state, error, NULL AS ready FROM jobs WHERE state = 'pending'
    UNION ALL
    SELECT lane, 'queued', error, run_at FROM jobs WHERE state = 'queued'
    UNION ALL
    SELECT lane, 'running', error, NULL FROM jobs WHERE state = 'running'
)
SELECT lanes.kind,
    sum(open.state = 'pending') AS pending,
    sum(open.state = 'queued') AS queued,
    sum(open.state = 'running') AS running,
    coalesce(sum(open.error = ?1), 0) AS rescued,
    min(open.ready) AS oldest
FROM open JOIN lanes ON lanes.id = open.lane
GROUP BY lanes.kind
ORDER BY lanes.kind
