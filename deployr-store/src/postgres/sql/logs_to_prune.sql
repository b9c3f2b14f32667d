-- Up to $4 deployments that may have lines: created before the key $1, over before $2, and not
-- among the newest $3 of their project. Locked; those that another node has in hand are left
-- to it.
SELECT id FROM deployments AS old
WHERE logged
  AND id < $1
  AND finished_at < $2
  AND number <= (SELECT max(number) FROM deployments WHERE project = old.project) - $3
ORDER BY id
LIMIT $4
FOR NO KEY UPDATE SKIP LOCKED
