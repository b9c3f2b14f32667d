INSERT INTO jobs (
    id, tenant, kind, input, concurrency_key, state,
    run_at, attempt, max_attempts, fence, start_by, created_at
) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, ?8, 0, ?9, ?10)
ON CONFLICT (id) DO NOTHING
