-- Keys are UUIDs as 16 bytes, times are microseconds since 1970 (UTC), JSON is text.

CREATE TABLE projects (
    id         BLOB    PRIMARY KEY CHECK (length(id) = 16),
    tenant     TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    -- What a tenant's names are told apart by.
    name_key   TEXT    NOT NULL,
    slug       TEXT    NOT NULL,
    settings   TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX projects_slug ON projects (slug);
CREATE UNIQUE INDEX projects_name ON projects (tenant, name_key);
CREATE INDEX projects_list ON projects (tenant, id);

CREATE TABLE project_env (
    project    BLOB    NOT NULL REFERENCES projects (id),
    name       TEXT    NOT NULL,
    value      BLOB    NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (project, name)
) STRICT, WITHOUT ROWID;

-- What is claimed together: a kind, and the labels that a worker must offer, sorted and
-- with commas between. A claim walks through lanes that fit it, and through no others.
CREATE TABLE lanes (
    id    INTEGER PRIMARY KEY,
    kind  TEXT NOT NULL,
    needs TEXT NOT NULL,
    UNIQUE (kind, needs)
) STRICT;

CREATE TABLE paused (
    kind TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;

-- Who carries jobs out. No lease hangs on it.
CREATE TABLE workers (
    id      BLOB    PRIMARY KEY CHECK (length(id) = 16),
    report  TEXT    NOT NULL,
    since   INTEGER NOT NULL,
    seen_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE schedules (
    tenant     TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    timetable  TEXT    NOT NULL,
    job        TEXT    NOT NULL,
    -- NULL until it was reckoned from the timetable.
    next_at    INTEGER,
    last_at    INTEGER,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX schedules_next ON schedules (next_at);

-- The checks of this table spell their lists out. For `IN` with more than two values
-- SQLite fills a table of its own in each statement that it checks, which costs a write
-- of a job more than all the rest.
CREATE TABLE jobs (
    id               BLOB    PRIMARY KEY CHECK (length(id) = 16),
    tenant           TEXT    NOT NULL,
    -- Of `lanes`, from which nothing is ever deleted: not looked up for each job.
    lane             INTEGER NOT NULL,
    input            TEXT    NOT NULL,
    priority         INTEGER NOT NULL,
    -- Its place in line, from when it is queued for the first time. As long as the job
    -- is not over, it then has a place of each of its keys.
    rank             INTEGER,
    limits           TEXT,
    state            TEXT    NOT NULL CHECK (
        state = 'running' OR state = 'completed' OR state = 'queued'
        OR state = 'pending' OR state = 'failed' OR state = 'cancelled'
    ),
    run_at           INTEGER NOT NULL,
    -- The same while it is pending for that; else NULL.
    due_at           INTEGER,
    attempt          INTEGER NOT NULL CHECK (attempt >= 0),
    max_attempts     INTEGER NOT NULL CHECK (max_attempts >= 1),
    fence            INTEGER NOT NULL CHECK (fence >= 0),
    -- The last to claim it. Stays when the claim ends, so that a call whose answer
    -- was lost is known again; so does `ended_by`, the call that ended the claim.
    worker           BLOB    CHECK (length(worker) = 16),
    ended_by         TEXT    CHECK (
        ended_by = 'complete' OR ended_by = 'finish' OR ended_by = 'fail' OR ended_by = 'release'
    ),
    lease_until      INTEGER,
    start_by         INTEGER NOT NULL,
    cancel_requested INTEGER NOT NULL DEFAULT 0 CHECK (cancel_requested IN (0, 1)),
    error            TEXT,
    created_at       INTEGER NOT NULL,
    finished_at      INTEGER,
    CHECK (state <> 'running' OR (worker IS NOT NULL AND lease_until IS NOT NULL)),
    CHECK (due_at IS NULL OR state = 'pending'),
    CHECK (state <> 'queued' OR rank IS NOT NULL),
    CHECK (
        (finished_at IS NOT NULL)
        = (state = 'completed' OR state = 'failed' OR state = 'cancelled')
    )
) STRICT;

-- One row: when the queue was last swept while jobs ran, and since when no lease is ended.
CREATE TABLE watch (
    swept_at   INTEGER,
    held_since INTEGER
) STRICT;

INSERT INTO watch VALUES (NULL, NULL);

-- The lines. What follows the id is for the statements that look for late jobs.
CREATE INDEX jobs_line ON jobs (lane, priority DESC, rank, id, start_by, fence)
    WHERE state = 'queued';
-- Where a tenant's line ends.
CREATE INDEX jobs_of_tenant ON jobs (lane, priority, tenant, rank) WHERE state = 'queued';
CREATE INDEX jobs_pending ON jobs (start_by) WHERE state = 'pending';
CREATE INDEX jobs_due ON jobs (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX jobs_leases ON jobs (lease_until) WHERE state = 'running';

CREATE VIEW job_rows AS
SELECT jobs.*, lanes.kind, lanes.needs, jobs.rowid AS number
FROM jobs JOIN lanes ON lanes.id = jobs.lane;

-- The keys of jobs that have places (`holds`) or wait for some. No others are here.
CREATE TABLE job_keys (
    key        TEXT    NOT NULL,
    job        BLOB    NOT NULL REFERENCES jobs (id),
    max        INTEGER NOT NULL CHECK (max >= 1),
    holds      INTEGER NOT NULL CHECK (holds = 0 OR holds = 1),
    priority   INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (key, job)
) STRICT, WITHOUT ROWID;

CREATE INDEX job_keys_of_job ON job_keys (job);
CREATE INDEX job_keys_taken ON job_keys (key) WHERE holds = 1;
CREATE INDEX job_keys_waiting ON job_keys (key, priority DESC, created_at, job) WHERE holds = 0;

CREATE TABLE deployments (
    id            BLOB    PRIMARY KEY CHECK (length(id) = 16),
    tenant        TEXT    NOT NULL,
    project       BLOB    NOT NULL REFERENCES projects (id),
    number        INTEGER NOT NULL CHECK (number >= 1),
    job           BLOB    NOT NULL UNIQUE REFERENCES jobs (id),
    -- The key that the job of kind `notify` gets once the deployment is final.
    notify_job    BLOB    NOT NULL UNIQUE CHECK (length(notify_job) = 16),
    cause         TEXT    NOT NULL,
    commit_id     TEXT,
    status        TEXT    NOT NULL CHECK (
        status IN ('queued', 'building', 'deploying', 'cancelling', 'success', 'failed', 'cancelled')
    ),
    stage         TEXT    NOT NULL CHECK (
        stage IN ('queued', 'checkout', 'build', 'release', 'verify', 'activate', 'finished')
    ),
    release       BLOB    REFERENCES releases (id),
    failure       TEXT,
    cancel_reason TEXT,
    actor         TEXT    NOT NULL,
    created_at    INTEGER NOT NULL,
    started_at    INTEGER,
    finished_at   INTEGER,
    -- Whether it may have log lines; not since they were pruned.
    logged        INTEGER NOT NULL DEFAULT 1 CHECK (logged IN (0, 1)),
    UNIQUE (project, number),
    CHECK ((finished_at IS NOT NULL) = (status IN ('success', 'failed', 'cancelled')))
) STRICT;

CREATE INDEX deployments_list ON deployments (tenant, id);
CREATE INDEX deployments_of_project ON deployments (project, id);
CREATE INDEX deployments_open ON deployments (project, number) WHERE finished_at IS NULL;

-- What retention has to look at.
CREATE INDEX deployments_logged ON deployments (id) WHERE logged = 1;

CREATE TABLE stages (
    seq        INTEGER PRIMARY KEY,
    deployment BLOB    NOT NULL REFERENCES deployments (id),
    stage      TEXT    NOT NULL,
    attempt    INTEGER NOT NULL CHECK (attempt >= 0),
    started_at INTEGER NOT NULL,
    ended_at   INTEGER
) STRICT;

CREATE INDEX stages_of_deployment ON stages (deployment, seq);
CREATE UNIQUE INDEX stages_open ON stages (deployment) WHERE ended_at IS NULL;

CREATE TABLE log_lines (
    deployment BLOB    NOT NULL REFERENCES deployments (id),
    seq        INTEGER NOT NULL CHECK (seq >= 1),
    at         INTEGER NOT NULL,
    stream     INTEGER NOT NULL,
    text       TEXT    NOT NULL,
    PRIMARY KEY (deployment, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE releases (
    id         BLOB    PRIMARY KEY CHECK (length(id) = 16),
    tenant     TEXT    NOT NULL,
    project    BLOB    NOT NULL REFERENCES projects (id),
    deployment BLOB    NOT NULL REFERENCES deployments (id),
    number     INTEGER NOT NULL CHECK (number >= 1),
    target     TEXT    NOT NULL,
    commit_id  TEXT    NOT NULL,
    digest     TEXT    NOT NULL,
    recipe     TEXT    NOT NULL,
    env        BLOB    NOT NULL,
    state      TEXT    NOT NULL CHECK (state IN ('placed', 'live', 'kept', 'gone')),
    -- The number of the deployment that last made it live.
    live_turn  INTEGER,
    created_at INTEGER NOT NULL,
    UNIQUE (project, number),
    CHECK (state <> 'live' OR live_turn IS NOT NULL)
) STRICT;

CREATE INDEX releases_of_project ON releases (project, id);
CREATE INDEX releases_on_target ON releases (project, id) WHERE state <> 'gone';
CREATE UNIQUE INDEX releases_live ON releases (project) WHERE state = 'live';
CREATE INDEX releases_live_list ON releases (id) WHERE state = 'live';
CREATE UNIQUE INDEX releases_placed ON releases (deployment) WHERE state = 'placed';

CREATE TABLE audit (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    at         INTEGER NOT NULL,
    tenant     TEXT    NOT NULL,
    actor      TEXT    NOT NULL,
    action     TEXT    NOT NULL,
    project    BLOB,
    deployment BLOB,
    detail     TEXT    NOT NULL
) STRICT;

CREATE INDEX audit_list ON audit (tenant, seq);
