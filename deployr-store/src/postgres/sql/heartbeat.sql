-- Rows are locked in the order of their ids, as by everybody who locks several.
WITH held AS MATERIALIZED (
    SELECT held.id
    FROM (
        SELECT job, fence, worker
        FROM unnest($1::uuid[], $2::bigint[], $3::uuid[]) AS beats (job, fence, worker)
        ORDER BY job
    ) AS beat
    CROSS JOIN LATERAL (
        SELECT id FROM jobs
        WHERE id = beat.job AND fence = beat.fence AND worker = beat.worker
          AND state = 'running'
        -- As in `exchange.sql`.
        LIMIT 1
        FOR NO KEY UPDATE
    ) AS held
)
UPDATE jobs SET lease_until = least(now() + $4, '9999-12-31 23:59:59.999999Z')
WHERE id = ANY(ARRAY(SELECT id FROM held))
RETURNING id, fence, worker, cancel_requested
