-- The present; then of each line that is asked for ($2 kinds, $3 needs, $4 priorities), in that
-- order: its lane, its lowest rank, and the highest of the tenant $1.
SELECT now(), lanes.id,
    (
        SELECT rank FROM jobs
        WHERE state = 'queued' AND lane = lanes.id AND priority = line.priority
        ORDER BY rank
        LIMIT 1
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
