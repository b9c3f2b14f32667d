INSERT INTO schedules AS old (tenant, name, timetable, job, created_at, updated_at)
VALUES ($1, $2, $3, $4, now(), now())
ON CONFLICT (tenant, name) DO UPDATE
SET timetable = excluded.timetable,
    job = excluded.job,
    next_at = CASE WHEN old.timetable = excluded.timetable THEN old.next_at END,
    updated_at = now()
WHERE (old.timetable, old.job) <> (excluded.timetable, excluded.job)
