-- How far the removal of a project has come.
ALTER TABLE projects ADD COLUMN removal TEXT;

-- Slugs under which something of a removed project is left, and to whom they may be given
-- again: nobody where NULL.
CREATE TABLE left_behind (
    slug   TEXT NOT NULL PRIMARY KEY,
    tenant TEXT
) STRICT, WITHOUT ROWID;

-- Who is asked of each row that goes, by the foreign keys as well.
CREATE INDEX releases_of_deployment ON releases (deployment);
CREATE INDEX deployments_of_release ON deployments (release) WHERE release IS NOT NULL;
