-- Appends lines ($4 their times, $5 streams, $6 texts) to the log of the deployment $7, from
-- number $8 on; gives none where the claim $1..$3 is not held for it, else the number that
-- comes next, or that should have come where $8 is past it. The job is locked, so that no
-- line can come after the claim's end.
--
-- The same call may be on its way twice: then the second waits for the first, does not see its
-- lines, and fails on the first of them. Made again, it sees them. `ON CONFLICT` would cost every
-- call half as much again.
WITH held AS MATERIALIZED (
    SELECT deployments.id
    FROM jobs JOIN deployments ON deployments.job = jobs.id
    WHERE jobs.id = $1 AND jobs.fence = $2 AND jobs.worker = $3
      AND jobs.state = 'running'
      AND deployments.id = $7
    FOR NO KEY UPDATE OF jobs
), last AS MATERIALIZED (
    SELECT coalesce((SELECT max(seq) FROM log_lines WHERE deployment = held.id), 0) AS seq
    FROM held
), added AS (
    INSERT INTO log_lines (deployment, seq, at, stream, text)
    SELECT $7, $8 + new.number - 1, new.at, new.stream, new.text
    FROM last, unnest($4::timestamptz[], $5::smallint[], $6::text[])
        WITH ORDINALITY AS new (at, stream, text, number)
    WHERE $8 <= last.seq + 1 AND $8 + new.number - 1 > last.seq
)
SELECT CASE
    WHEN $8 <= last.seq + 1 THEN greatest(last.seq, $8 + cardinality($6::text[]) - 1) + 1
    ELSE last.seq + 1
END
FROM last
