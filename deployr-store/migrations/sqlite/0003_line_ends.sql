-- Where a tenant's line ends: at this job, if it still stands there, else before it.
CREATE TABLE line_ends (
    lane     INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    tenant   TEXT    NOT NULL,
    rank     INTEGER NOT NULL,
    job      BLOB    NOT NULL CHECK (length(job) = 16),
    PRIMARY KEY (lane, priority, tenant)
) STRICT, WITHOUT ROWID;

-- Besides max(rank), the job is that of the same row.
INSERT INTO line_ends (lane, priority, tenant, rank, job)
SELECT lane, priority, tenant, max(rank), id
FROM jobs WHERE state = 'queued'
GROUP BY lane, priority, tenant;

DROP INDEX jobs_of_tenant;
DROP INDEX jobs_line;
CREATE INDEX jobs_line ON jobs (lane, priority DESC, rank, id, start_by, fence, tenant)
    WHERE state = 'queued';
