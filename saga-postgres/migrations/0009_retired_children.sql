-- Sagas that are run as steps of others are found by when they may be retired, not passed over until then.

-- One that was taken back before it began waits for no notice: nothing is lost with it.
UPDATE saga.instance SET parent_ended_at = ended_at
WHERE parent IS NOT NULL AND parent_ended_at IS NULL AND version = 1 AND status = 'compensated';

DROP INDEX saga.instance_ended;
CREATE INDEX instance_ended ON saga.instance (ended_at) WHERE ended_at IS NOT NULL AND parent IS NULL;
CREATE INDEX instance_parent_ended ON saga.instance (parent_ended_at)
    WHERE parent_ended_at IS NOT NULL AND ended_at IS NOT NULL;
