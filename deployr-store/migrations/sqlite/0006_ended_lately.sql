-- How many leases were ended in the present count, which began then, and in the one before.
ALTER TABLE watch ADD COLUMN counted_since INTEGER;
ALTER TABLE watch ADD COLUMN ended INTEGER NOT NULL DEFAULT 0 CHECK (ended >= 0);
ALTER TABLE watch ADD COLUMN ended_before INTEGER NOT NULL DEFAULT 0 CHECK (ended_before >= 0);
