-- Up to ?4 deployments that may have lines: created before the key ?1, over before ?2, and not
-- among the newest ?3 of their project.
SELECT id FROM deployments AS old
WHERE logged = 1
  AND id < ?1
  AND finished_at < ?2
  AND number <= (SELECT max(number) FROM deployments WHERE project = old.project) - ?3
ORDER BY id
LIMIT ?4
