-- The orchestrator's tables. docs/schema.md says which code relies on which constraint.

-- What sagas are made of. Never deleted; a saga points at the definition it began with.
CREATE TABLE saga.definition (
    id          integer GENERATED ALWAYS AS IDENTITY CONSTRAINT definition_pkey PRIMARY KEY,
    name        text    NOT NULL,
    version     bigint  NOT NULL,
    fingerprint uuid    NOT NULL,
    CONSTRAINT definition_name_version_key UNIQUE (name, version),
    CONSTRAINT definition_name_length CHECK (octet_length(name) BETWEEN 1 AND 120),
    CONSTRAINT definition_version_range CHECK (version BETWEEN 0 AND 4294967295)
);

-- One row a saga, written by every transition: narrow, and with room on its page for the next version of the row.
CREATE TABLE saga.instance (
    id          uuid        CONSTRAINT instance_pkey PRIMARY KEY,
    version     bigint      NOT NULL,
    started_at  timestamptz NOT NULL DEFAULT statement_timestamp(),
    moved_at    timestamptz NOT NULL DEFAULT statement_timestamp(),
    definition  integer     NOT NULL,
    status      text        NOT NULL,
    state       bytea       NOT NULL,
    data        bytea       NOT NULL,
    parked      text,
    parent      uuid,
    parent_step text,
    CONSTRAINT instance_version_positive CHECK (version >= 1),
    CONSTRAINT instance_status_known
        CHECK (status IN ('running', 'compensating', 'provisional', 'parked', 'completed', 'compensated')),
    CONSTRAINT instance_parked_has_reason CHECK ((status = 'parked') = (parked IS NOT NULL)),
    CONSTRAINT instance_parent_has_step CHECK ((parent IS NULL) = (parent_step IS NULL)),
    CONSTRAINT instance_parent_step_length CHECK (octet_length(parent_step) BETWEEN 1 AND 120),
    CONSTRAINT instance_state_size CHECK (octet_length(state) <= 16777216),
    CONSTRAINT instance_data_size CHECK (octet_length(data) <= 16777216)
) WITH (
    fillfactor = 60,
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_cost_delay = 0
);

-- Touched when a saga starts, ends, parks or turns round; not by the transitions in between, which stay HOT.
CREATE INDEX instance_unfinished ON saga.instance (status, id, definition)
    WHERE status IN ('running', 'compensating', 'provisional', 'parked');

-- The sagas that the steps of another one have run. The parent may be in another database.
CREATE INDEX instance_parent ON saga.instance (parent, id) WHERE parent IS NOT NULL;

-- What the business calls a saga. Outlives the saga, so that a key is never used twice.
CREATE TABLE saga.business_key (
    name  text NOT NULL,
    key   text NOT NULL,
    saga  uuid NOT NULL,
    input uuid NOT NULL,
    CONSTRAINT business_key_pkey PRIMARY KEY (key, name),
    CONSTRAINT business_key_saga_key UNIQUE (saga),
    CONSTRAINT business_key_name_length CHECK (octet_length(name) BETWEEN 1 AND 120),
    CONSTRAINT business_key_key_length CHECK (char_length(key) BETWEEN 1 AND 200)
);

-- One row a transition, never changed. `batch` names the call that wrote it: a commit whose answer was lost is
-- recognised by it.
CREATE TABLE saga.journal (
    saga     uuid        NOT NULL,
    version  bigint      NOT NULL,
    batch    uuid        NOT NULL,
    now      timestamptz NOT NULL,
    at       timestamptz NOT NULL DEFAULT statement_timestamp(),
    writer   text        NOT NULL,
    decision text        NOT NULL,
    event    bytea       NOT NULL,
    CONSTRAINT journal_pkey PRIMARY KEY (saga, version),
    CONSTRAINT journal_version_positive CHECK (version >= 1),
    CONSTRAINT journal_event_size CHECK (octet_length(event) <= 16777216)
);

-- What is awaited, and until when. A claim moves `due_at` to the end of its lease. A row that nobody has claimed for
-- too long is put off once: then nobody was there to take the answer either.
CREATE TABLE saga.timer (
    saga       uuid        NOT NULL,
    step       text        NOT NULL,
    due_at     timestamptz NOT NULL,
    attempt    bigint      NOT NULL,
    definition integer     NOT NULL,
    direction  text        NOT NULL,
    put_off    boolean     NOT NULL DEFAULT false,
    CONSTRAINT timer_pkey PRIMARY KEY (saga, step),
    CONSTRAINT timer_step_length CHECK (octet_length(step) BETWEEN 1 AND 120),
    CONSTRAINT timer_attempt_range CHECK (attempt BETWEEN 0 AND 4294967295),
    CONSTRAINT timer_direction_known CHECK (direction IN ('do', 'undo', 'close'))
) WITH (
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0
);

CREATE INDEX timer_due ON saga.timer (definition, due_at);

-- Replies for sagas whose definition the process that received them does not know.
CREATE TABLE saga.held (
    id          uuid        CONSTRAINT held_pkey PRIMARY KEY,
    saga        uuid        NOT NULL,
    held_at     timestamptz NOT NULL DEFAULT statement_timestamp(),
    message     uuid        NOT NULL,
    destination text        NOT NULL,
    key         uuid        NOT NULL,
    headers     bytea       NOT NULL,
    body        bytea       NOT NULL,
    CONSTRAINT held_destination_length CHECK (octet_length(destination) BETWEEN 1 AND 120),
    CONSTRAINT held_headers_size CHECK (octet_length(headers) <= 131072),
    CONSTRAINT held_body_size CHECK (octet_length(body) <= 16777216)
);
