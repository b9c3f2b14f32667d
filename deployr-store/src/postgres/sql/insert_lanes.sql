-- Those of the lanes ($1 kinds, $2 needs) that are not there yet. In one order, so that two
-- calls never wait for each other.
INSERT INTO lanes (kind, needs)
SELECT DISTINCT new.kind, string_to_array(new.needs, ',')
FROM unnest($1::text[], $2::text[]) AS new (kind, needs)
ORDER BY 1, 2
ON CONFLICT DO NOTHING
