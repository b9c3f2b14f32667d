-- The number is the project's next; the project is locked.
INSERT INTO deployments (
    id, tenant, project, number, job, notify_job, cause, status, stage, actor, created_at
) VALUES (
    $1, $2, $3,
    (SELECT coalesce(max(number), 0) + 1 FROM deployments WHERE project = $3),
    $4, $5, $6, $7, $8, $9, now()
)
RETURNING id, tenant, project, number, job, cause, commit_id, status, stage, release, failure,
    actor, created_at, started_at, finished_at
