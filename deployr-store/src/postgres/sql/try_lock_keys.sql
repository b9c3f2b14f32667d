-- Whether all of them could be locked, as `lock_keys.sql` does, without a wait.
SELECT bool_and(
    pg_try_advisory_xact_lock(hashtextextended(current_schema() || ':' || key, 0))
)
FROM unnest($1::text[]) AS keys (key)
