CREATE TABLE schema_version (
    version integer     PRIMARY KEY,
    at      timestamptz NOT NULL DEFAULT now()
);

-- JSON is text, as it was written: what it says is looked at by programs only.
-- Texts that are keys compare byte by byte (COLLATE "C"), whatever the database's locale.

CREATE TABLE projects (
    id         uuid        PRIMARY KEY,
    tenant     text        COLLATE "C" NOT NULL,
    name       text        COLLATE "C" NOT NULL,
    -- What a tenant's names are told apart by.
    name_key   text        COLLATE "C" NOT NULL,
    slug       text        COLLATE "C" NOT NULL,
    settings   text        NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);

CREATE UNIQUE INDEX projects_slug ON projects (slug);
CREATE UNIQUE INDEX projects_name ON projects (tenant, name_key);
CREATE INDEX projects_list ON projects (tenant, id);

CREATE TABLE project_env (
    project    uuid        NOT NULL REFERENCES projects (id),
    name       text        COLLATE "C" NOT NULL,
    value      bytea       NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (project, name)
);

-- What is claimed together: a kind, and the labels that a worker must offer, sorted. A
-- claim walks through lanes that fit it, and through no others.
CREATE TABLE lanes (
    id    integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind  text    COLLATE "C" NOT NULL,
    needs text[]  COLLATE "C" NOT NULL,
    UNIQUE (kind, needs)
);

CREATE TABLE paused (
    kind text COLLATE "C" PRIMARY KEY
);

-- Who carries jobs out. No lease hangs on it.
CREATE TABLE workers (
    id      uuid        PRIMARY KEY,
    report  text        NOT NULL,
    since   timestamptz NOT NULL,
    seen_at timestamptz NOT NULL
);

CREATE TABLE schedules (
    tenant     text        COLLATE "C" NOT NULL,
    name       text        COLLATE "C" NOT NULL,
    timetable  text        NOT NULL,
    job        text        NOT NULL,
    -- NULL until it was reckoned from the timetable.
    next_at    timestamptz,
    last_at    timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, name)
);

CREATE INDEX schedules_next ON schedules (next_at NULLS FIRST);

CREATE TABLE jobs (
    id               uuid        PRIMARY KEY,
    tenant           text        COLLATE "C" NOT NULL,
    kind             text        COLLATE "C" NOT NULL,
    -- NULL for none.
    needs            text[]      COLLATE "C",
    -- Of that kind and these needs. Without a foreign key, for which each insert would lock
    -- the lane's row; no lane is ever deleted.
    lane             integer     NOT NULL,
    input            text        NOT NULL,
    priority         smallint    NOT NULL,
    -- Its place in line, from when it is queued for the first time. As long as the job
    -- is not over, it then has a place of each of its keys.
    rank             bigint,
    limits           text,
    state            text        COLLATE "C" NOT NULL CHECK (
        state IN ('pending', 'queued', 'running', 'completed', 'failed', 'cancelled')
    ),
    run_at           timestamptz NOT NULL,
    -- The same while it is pending for that; else NULL.
    due_at           timestamptz,
    attempt          integer     NOT NULL CHECK (attempt >= 0),
    max_attempts     integer     NOT NULL CHECK (max_attempts >= 1),
    fence            bigint      NOT NULL CHECK (fence >= 0),
    -- The last to claim it. Stays when the claim ends, so that a call whose answer
    -- was lost is known again; so does `ended_by`, the call that ended the claim.
    worker           uuid,
    ended_by         text        COLLATE "C" CHECK (
        ended_by IN ('complete', 'finish', 'fail', 'release')
    ),
    lease_until      timestamptz,
    start_by         timestamptz NOT NULL,
    cancel_requested boolean     NOT NULL DEFAULT false,
    error            text,
    created_at       timestamptz NOT NULL,
    finished_at      timestamptz,
    CHECK (state <> 'running' OR (worker IS NOT NULL AND lease_until IS NOT NULL)),
    CHECK (due_at IS NULL OR state = 'pending'),
    CHECK (state <> 'queued' OR rank IS NOT NULL),
    CHECK ((finished_at IS NOT NULL) = (state IN ('completed', 'failed', 'cancelled')))
) WITH (
    -- Room for heartbeats in the same page; and dead rows, of which each job leaves
    -- two, are cleared away before the claim has to step over many of them.
    fillfactor = 85,
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 2000,
    autovacuum_vacuum_cost_delay = 0,
    autovacuum_analyze_scale_factor = 0.05
);

-- One row: when the queue was last swept while jobs ran, and since when no lease is ended.
CREATE TABLE watch (
    swept_at   timestamptz,
    held_since timestamptz
);

INSERT INTO watch VALUES (NULL, NULL);

-- The lines.
CREATE INDEX jobs_line ON jobs (lane, priority DESC, rank, id) WHERE state = 'queued';
-- Where a tenant's line ends.
CREATE INDEX jobs_of_tenant ON jobs (lane, priority, tenant, rank) WHERE state = 'queued';
-- Not by `lease_until`: a heartbeat would change the index. Few jobs run at a time.
CREATE INDEX jobs_running ON jobs (id) WHERE state = 'running';
CREATE INDEX jobs_unstarted ON jobs (start_by, id)
    WHERE state IN ('pending', 'queued') AND fence = 0;
CREATE INDEX jobs_pending ON jobs (id) WHERE state = 'pending';
CREATE INDEX jobs_due ON jobs (due_at) WHERE due_at IS NOT NULL;

-- The keys of jobs that have places (`holds`) or wait for some. No others are here.
CREATE TABLE job_keys (
    key        text        COLLATE "C" NOT NULL,
    job        uuid        NOT NULL REFERENCES jobs (id),
    max        bigint      NOT NULL CHECK (max >= 1),
    holds      boolean     NOT NULL,
    priority   smallint    NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (job, key)
);

CREATE INDEX job_keys_taken ON job_keys (key) WHERE holds;
CREATE INDEX job_keys_waiting ON job_keys (key, priority DESC, created_at, job) WHERE NOT holds;

CREATE TABLE deployments (
    id            uuid        PRIMARY KEY,
    tenant        text        COLLATE "C" NOT NULL,
    project       uuid        NOT NULL REFERENCES projects (id),
    number        bigint      NOT NULL CHECK (number >= 1),
    job           uuid        NOT NULL UNIQUE REFERENCES jobs (id),
    -- The key that the job of kind `notify` gets once the deployment is final.
    notify_job    uuid        NOT NULL UNIQUE,
    cause         text        NOT NULL,
    commit_id     text,
    status        text        COLLATE "C" NOT NULL CHECK (
        status IN ('queued', 'building', 'deploying', 'cancelling', 'success', 'failed', 'cancelled')
    ),
    stage         text        COLLATE "C" NOT NULL CHECK (
        stage IN ('queued', 'checkout', 'build', 'release', 'verify', 'activate', 'finished')
    ),
    release       uuid,
    failure       text,
    cancel_reason text,
    actor         text        NOT NULL,
    created_at    timestamptz NOT NULL,
    started_at    timestamptz,
    finished_at   timestamptz,
    -- Whether it may have log lines; not since they were pruned.
    logged        boolean     NOT NULL DEFAULT true,
    UNIQUE (project, number),
    CHECK ((finished_at IS NOT NULL) = (status IN ('success', 'failed', 'cancelled')))
);

CREATE INDEX deployments_list ON deployments (tenant, id);
CREATE INDEX deployments_of_project ON deployments (project, id);
CREATE INDEX deployments_open ON deployments (project, number) WHERE finished_at IS NULL;

-- What retention has to look at.
CREATE INDEX deployments_logged ON deployments (id) WHERE logged;

CREATE TABLE stages (
    seq        bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    deployment uuid        NOT NULL REFERENCES deployments (id),
    stage      text        COLLATE "C" NOT NULL,
    attempt    integer     NOT NULL CHECK (attempt >= 0),
    started_at timestamptz NOT NULL,
    ended_at   timestamptz
);

CREATE INDEX stages_of_deployment ON stages (deployment, seq);
CREATE UNIQUE INDEX stages_open ON stages (deployment) WHERE ended_at IS NULL;

-- Lines come in batches of one deployment, so that its lines lie together. Without a
-- foreign key, which would look the deployment up for each line: the insert itself
-- does so, once a batch.
CREATE TABLE log_lines (
    deployment uuid        NOT NULL,
    seq        bigint      NOT NULL CHECK (seq >= 1),
    at         timestamptz NOT NULL,
    stream     smallint    NOT NULL,
    text       text        NOT NULL,
    PRIMARY KEY (deployment, seq)
);

CREATE TABLE releases (
    id         uuid        PRIMARY KEY,
    tenant     text        COLLATE "C" NOT NULL,
    project    uuid        NOT NULL REFERENCES projects (id),
    deployment uuid        NOT NULL REFERENCES deployments (id),
    number     bigint      NOT NULL CHECK (number >= 1),
    target     text        NOT NULL,
    commit_id  text        NOT NULL,
    digest     text        NOT NULL,
    recipe     text        NOT NULL,
    env        bytea       NOT NULL,
    state      text        COLLATE "C" NOT NULL CHECK (state IN ('placed', 'live', 'kept', 'gone')),
    -- The number of the deployment that last made it live.
    live_turn  bigint,
    created_at timestamptz NOT NULL,
    UNIQUE (project, number),
    CHECK (state <> 'live' OR live_turn IS NOT NULL)
);

ALTER TABLE deployments ADD FOREIGN KEY (release) REFERENCES releases (id);

CREATE INDEX releases_of_project ON releases (project, id);
CREATE INDEX releases_on_target ON releases (project, id) WHERE state <> 'gone';
CREATE UNIQUE INDEX releases_live ON releases (project) WHERE state = 'live';
CREATE INDEX releases_live_list ON releases (id) WHERE state = 'live';
CREATE UNIQUE INDEX releases_placed ON releases (deployment) WHERE state = 'placed';

CREATE TABLE audit (
    seq        bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL,
    tenant     text        COLLATE "C" NOT NULL,
    actor      text        NOT NULL,
    action     text        COLLATE "C" NOT NULL,
    project    uuid,
    deployment uuid,
    detail     text        NOT NULL
);

CREATE INDEX audit_list ON audit (tenant, seq);
