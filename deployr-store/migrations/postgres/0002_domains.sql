-- Domains at which projects wish to be reached. Any number may wish for one; it is verified
-- for one of them at a time.
CREATE TABLE domains (
    project     uuid        NOT NULL REFERENCES projects (id),
    domain      text        COLLATE "C" NOT NULL,
    tenant      text        COLLATE "C" NOT NULL,
    token       text        NOT NULL,
    verified_at timestamptz,
    created_at  timestamptz NOT NULL,
    PRIMARY KEY (project, domain)
);

CREATE UNIQUE INDEX domains_verified ON domains (domain) WHERE verified_at IS NOT NULL;
CREATE INDEX domains_of_tenant ON domains (tenant, domain);
