INSERT INTO jobs (
    id, tenant, kind, input, concurrency_key, state,
    run_at, attempt, max_attempts, fence, start_by, created_at
) VALUES (
    $1, $2, $3, $4, $5, $6,
    least(now() + $7, '9999-12-31 23:59:59.999999Z'), 0, $8, 0,
    least(now() + $9, '9999-12-31 23:59:59.999999Z'), now()
)
ON CONFLICT (id) DO NOTHING
