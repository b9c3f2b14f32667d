-- In the order of what is locked, whatever order they come in. The schema is a part of
-- it: another one in this database is another store.
SELECT pg_advisory_xact_lock(lock) FROM (
    SELECT DISTINCT hashtextextended(current_schema() || ':' || key, 0) AS lock
    FROM unnest($1::text[]) AS keys (key)
    ORDER BY lock
) AS locks
