-- $1 the key of the name that was asked for, $2 the same as a slug, $3 the tenant.
-- A name comes before a slug.
SELECT id, tenant, name, slug, settings, removal, created_at, updated_at FROM projects
WHERE tenant = $3
  AND (name_key = $1 OR slug = $2)
ORDER BY name_key = $1 DESC
LIMIT 1
