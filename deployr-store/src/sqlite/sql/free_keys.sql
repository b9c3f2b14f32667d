-- Keys that somebody waits for, although they may have a place left.
SELECT waiting.key FROM job_keys AS waiting
WHERE holds = 0
GROUP BY waiting.key
HAVING max(waiting.max) > (
    SELECT count(*) FROM job_keys AS taken
    WHERE taken.key = waiting.key AND taken.holds = 1
)
