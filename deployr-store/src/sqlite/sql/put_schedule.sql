INSERT INTO schedules (tenant, name, timetable, job, created_at, updated_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?5)
ON CONFLICT (tenant, name) DO UPDATE
SET timetable = excluded.timetable,
    job = excluded.job,
    next_at = CASE WHEN timetable = excluded.timetable THEN next_at END,
    updated_at = excluded.updated_at
WHERE (timetable, job) <> (excluded.timetable, excluded.job)
