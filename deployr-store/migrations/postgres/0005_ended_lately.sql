-- How many leases were ended in the present count, which began then, and in the one before.
ALTER TABLE watch
    ADD COLUMN counted_since timestamptz,
    ADD COLUMN ended bigint NOT NULL DEFAULT 0 CHECK (ended >= 0),
    ADD COLUMN ended_before bigint NOT NULL DEFAULT 0 CHECK (ended_before >= 0);
