-- Domains at which projects wish to be reached. Any number may wish for one; it is verified
-- for one of them at a time.
CREATE TABLE domains (
    project     BLOB    NOT NULL REFERENCES projects (id),
    domain      TEXT    NOT NULL,
    tenant      TEXT    NOT NULL,
    token       TEXT    NOT NULL,
    verified_at INTEGER,
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (project, domain)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX domains_verified ON domains (domain) WHERE verified_at IS NOT NULL;
CREATE INDEX domains_of_tenant ON domains (tenant, domain);
