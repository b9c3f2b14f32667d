WITH added AS (
    INSERT INTO jobs (
        id, tenant, kind, input, concurrency_key, state,
        run_at, attempt, max_attempts, fence, start_by, created_at
    )
    SELECT id, $1, kind, input, key, state,
        least(now() + wait, '9999-12-31 23:59:59.999999Z'), 0, max_attempts, 0,
        least(now() + start_within, '9999-12-31 23:59:59.999999Z'), now()
    FROM unnest(
        $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[],
        $7::interval[], $8::integer[], $9::interval[]
    ) AS new (id, kind, input, key, state, wait, max_attempts, start_within)
)
SELECT now()
