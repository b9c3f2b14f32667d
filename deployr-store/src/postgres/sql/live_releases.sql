SELECT r.id, r.tenant, r.project, r.deployment, r.number, r.target, r.commit_id, r.digest,
    r.recipe, r.env, r.state, r.live_turn, r.created_at, projects.slug
FROM releases AS r JOIN projects ON projects.id = r.project
WHERE r.state = 'live' AND projects.removal IS NULL AND r.id < $1
ORDER BY r.id DESC
LIMIT $2
