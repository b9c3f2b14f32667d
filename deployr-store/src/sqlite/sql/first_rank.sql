-- The lowest rank of all lines of the priority ?1: a step down the index for each lane.
SELECT min((
    SELECT rank FROM jobs
    WHERE state = 'queued' AND lane = lanes.id AND priority = ?1
    ORDER BY rank
    LIMIT 1
))
FROM lanes
