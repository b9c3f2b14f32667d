-- The token is the same for all projects of a tenant.
INSERT INTO domains (project, domain, tenant, token, created_at)
VALUES ($1, $2, $3,
        coalesce((SELECT token FROM domains WHERE tenant = $3 AND domain = $2 LIMIT 1), $4),
        now())
