-- The number is the project's next; the project is locked.
INSERT INTO releases (
    id, tenant, project, deployment, number, target, commit_id, digest, recipe, env,
    state, created_at
) VALUES (
    $1, $2, $3, $4,
    (SELECT coalesce(max(number), 0) + 1 FROM releases WHERE project = $3),
    $5, $6, $7, $8, $9, 'placed', now()
)
RETURNING id, tenant, project, deployment, number, target, commit_id, digest, recipe, env, state,
    live_turn, created_at
