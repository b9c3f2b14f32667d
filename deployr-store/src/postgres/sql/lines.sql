-- The present; then of each line that is asked for ($2 kinds, $3 needs, $4 priorities), in that
-- order: its lane, its lowest rank (of one in which nobody stands, the lowest of all lines of that
-- priority, a step down the index for each), and the highest of the tenant $1.
SELECT now(), lanes.id,
    coalesce(
        (
            SELECT rank FROM jobs
            WHERE state = 'queued' AND lane = lanes.id AND priority = line.priority
            ORDER BY rank
            LIMIT 1
        ),
        (
            SELECT min(first.rank)
            FROM lanes AS every
            CROSS JOIN LATERAL (
                SELECT rank FROM jobs
                WHERE state = 'queued' AND lane = every.id AND priority = line.priority
                ORDER BY rank
                LIMIT 1
            ) AS first
        )
    ),
    (
        SELECT rank FROM jobs
        WHERE state = 'queued' AND lane = lanes.id AND priority = line.priority AND tenant = $1
        ORDER BY rank DESC
        LIMIT 1
    )
FROM unnest($2::text[], $3::text[], $4::smallint[]) WITH ORDINALITY
    AS line (kind, needs, priority, number)
LEFT JOIN lanes ON lanes.kind = line.kind AND lanes.needs = string_to_array(line.needs, ',')
ORDER BY line.number
