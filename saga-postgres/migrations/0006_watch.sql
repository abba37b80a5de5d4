-- Calls to other systems that may land behind their row.

-- `repeated`: more than one call was begun.
ALTER TABLE saga.fence DROP CONSTRAINT fence_state_known;
ALTER TABLE saga.fence ADD CONSTRAINT fence_state_known
    CHECK (state IN ('started', 'repeated', 'applied', 'refused', 'compensated', 'closed'));

-- Set while the row is watched: the command whose call may land, since when, when the row is looked at next, and how often
-- that was claimed since a look came to an end.
ALTER TABLE saga.fence ADD COLUMN watched text;
ALTER TABLE saga.fence ADD COLUMN watched_since timestamptz;
ALTER TABLE saga.fence ADD COLUMN look_at timestamptz;
ALTER TABLE saga.fence ADD COLUMN look_claims bigint;
ALTER TABLE saga.fence ADD CONSTRAINT fence_watched_length CHECK (octet_length(watched) BETWEEN 1 AND 120);
ALTER TABLE saga.fence ADD CONSTRAINT fence_watched_whole
    CHECK (num_nonnulls(watched, watched_since, look_at, look_claims) IN (0, 4));
ALTER TABLE saga.fence ADD CONSTRAINT fence_watched_has_moved_on
    CHECK (watched IS NULL OR state IN ('refused', 'compensated'));
CREATE INDEX fence_look ON saga.fence (participant, look_at) WHERE watched IS NOT NULL;
