-- Keeping and forgetting, on both sides.

-- Who takes the commands of a definition, and so hears of the ends of its sagas. Null as long as nobody has said it.
ALTER TABLE saga.definition ADD COLUMN participants text[];

-- When a saga made its last transition. A column of its own, that no other transition changes: an index on `moved_at`
-- would cost each of them its HOT update, whatever the index has for a condition.
ALTER TABLE saga.instance ADD COLUMN ended_at timestamptz;
UPDATE saga.instance SET ended_at = moved_at WHERE status IN ('completed', 'compensated');
ALTER TABLE saga.instance ADD CONSTRAINT instance_ended_has_time
    CHECK ((status IN ('completed', 'compensated')) = (ended_at IS NOT NULL));
CREATE INDEX instance_ended ON saga.instance (ended_at) WHERE ended_at IS NOT NULL;

CREATE INDEX held_saga ON saga.held (saga);

-- A line of a journal that was archived.
CREATE TYPE saga.archived_line AS (
    version  bigint,
    event    bytea,
    now      timestamptz,
    decision text,
    at       timestamptz,
    writer   text
);

-- One row for each saga that has left `instance`, as it was in the end, with its journal. Nobody but an operator
-- deletes here.
CREATE TABLE saga.archive (
    id          uuid        CONSTRAINT archive_pkey PRIMARY KEY,
    version     bigint      NOT NULL,
    started_at  timestamptz NOT NULL,
    moved_at    timestamptz NOT NULL,
    archived_at timestamptz NOT NULL DEFAULT statement_timestamp(),
    definition  integer     NOT NULL,
    status      text        NOT NULL,
    state       bytea       NOT NULL,
    data        bytea       NOT NULL,
    parent      uuid,
    parent_step text,
    journal     saga.archived_line[] NOT NULL,
    CONSTRAINT archive_status_ended CHECK (status IN ('completed', 'compensated'))
);
CREATE INDEX archive_parent ON saga.archive (parent, id) WHERE parent IS NOT NULL;

-- When it was last said that the row's saga has ended.
ALTER TABLE saga.fence ADD COLUMN ended_at timestamptz;
CREATE INDEX fence_ended ON saga.fence (participant, ended_at) WHERE ended_at IS NOT NULL;
