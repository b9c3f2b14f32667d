SELECT releases.*, projects.slug
FROM releases JOIN projects ON projects.id = releases.project
WHERE releases.state = 'live' AND projects.removal IS NULL AND releases.id < ?1
ORDER BY releases.id DESC
LIMIT ?2
