-- Sagas that are run as steps of others.

-- When it was last said that whoever ran the saga as a step has ended. In no index, so that it costs no HOT update.
ALTER TABLE saga.instance ADD COLUMN parent_ended_at timestamptz;
ALTER TABLE saga.instance ADD CONSTRAINT instance_parent_ended_of_child
    CHECK (parent_ended_at IS NULL OR parent IS NOT NULL);
