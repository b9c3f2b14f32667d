-- Jobs of the tenant $1, enqueued at $2.
INSERT INTO jobs (
    id, tenant, kind, needs, lane, input, priority, rank, limits, state,
    run_at, due_at, attempt, max_attempts, fence, start_by, created_at
)
SELECT id, $1, kind, string_to_array(nullif(needs, ''), ','), lane, input, priority, rank, limits,
    state, run_at, CASE WHEN run_at > $2 THEN run_at END, 0, max_attempts, 0, start_by, $2
FROM unnest(
    $3::uuid[], $4::text[], $5::text[], $6::integer[], $7::text[], $8::smallint[],
    $9::bigint[], $10::text[], $11::text[], $12::timestamptz[], $13::integer[],
    $14::timestamptz[]
) AS new (
    id, kind, needs, lane, input, priority, rank, limits, state, run_at, max_attempts, start_by
)
