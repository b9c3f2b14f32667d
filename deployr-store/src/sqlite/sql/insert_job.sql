INSERT INTO jobs (
    id, tenant, lane, input, priority, rank, limits, state,
    run_at, due_at, attempt, max_attempts, fence, start_by, created_at
) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 0, ?11, 0, ?12, ?13)
ON CONFLICT (id) DO NOTHING
