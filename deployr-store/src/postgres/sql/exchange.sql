-- Completes the jobs of the claims $1..$3 as `complete_jobs.sql` does, and takes up to $6
-- others of the kinds $7 that need no more than $11, save $10: for the worker $8, until the
-- term $9 has passed. Does neither, and says so in `whole`, where one of the claims needs more
-- care than that.
--
-- Rows are looked up by an ARRAY of their ids, as of an `IN` the planner may believe that it
-- gives a tenth of the table, and read it all.
WITH plain AS MATERIALIZED (
    SELECT held.id
    FROM (
        SELECT job, fence, worker
        FROM unnest($1::uuid[], $2::bigint[], $3::uuid[]) AS done (job, fence, worker)
        ORDER BY job
    ) AS done
    CROSS JOIN LATERAL (
        SELECT id FROM jobs
        WHERE id = done.job AND fence = done.fence AND worker = done.worker
          AND state = 'running'
          AND limits IS NULL
          AND NOT EXISTS (SELECT 1 FROM deployments WHERE deployments.job = done.job)
        -- Each is looked up by its id. Of a join the planner may believe that hardly any job is
        -- running, and compare all of those with all claims.
        LIMIT 1
        FOR NO KEY UPDATE
    ) AS held
), care AS MATERIALIZED (
    SELECT count(*) = cardinality($1::uuid[]) AS whole FROM plain
), completed AS (
    UPDATE jobs
    SET state = $4, lease_until = NULL, finished_at = now(), ended_by = $5
    WHERE id = ANY(ARRAY(SELECT id FROM plain)) AND (SELECT whole FROM care)
), due AS MATERIALIZED (
    SELECT next.id
    FROM lanes
    CROSS JOIN LATERAL (
        SELECT id, priority, rank FROM jobs
        WHERE lane = lanes.id
          AND state = 'queued'
          -- In one piece, which the planner cannot guess at: where it takes these to be rare,
          -- it fetches and sorts all that are queued, instead of following the index to the
          -- limit.
          AND CASE WHEN start_by >= now() THEN id <> ALL($10::uuid[]) ELSE false END
        ORDER BY priority DESC, rank, id
        LIMIT $6
        FOR NO KEY UPDATE SKIP LOCKED
    ) AS next
    WHERE (SELECT whole FROM care)
      AND lanes.kind = ANY($7::text[])
      AND lanes.needs <@ $11::text[]
      AND lanes.kind NOT IN (SELECT kind FROM paused)
    ORDER BY next.priority DESC, next.rank, next.id
    LIMIT $6
), taken AS (
    UPDATE jobs
    SET state = 'running', fence = fence + 1, attempt = attempt + 1, worker = $8,
        lease_until = least(now() + $9, '9999-12-31 23:59:59.999999Z'), ended_by = NULL
    WHERE id = ANY(ARRAY(SELECT id FROM due))
    RETURNING id, tenant, kind, input, priority, limits, needs, state, run_at, attempt,
        max_attempts, fence, worker, lease_until, start_by, cancel_requested, error, created_at,
        finished_at, rank
)
SELECT care.whole, taken.* FROM care LEFT JOIN taken ON true
