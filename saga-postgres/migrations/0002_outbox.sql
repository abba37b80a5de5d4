-- Both sides: messages that are committed and not yet known to be with the broker.

-- A row is due when `due_at` has passed. It is inserted due at once, or, if the process that inserts it also sends
-- it from memory, as claimed, and due when the claim's lease ends. A row leaves by its id, after the broker's confirm.
CREATE TABLE saga.outbox (
    id          uuid        CONSTRAINT outbox_pkey PRIMARY KEY,
    created_at  timestamptz NOT NULL DEFAULT statement_timestamp(),
    due_at      timestamptz NOT NULL,
    message     uuid        NOT NULL,
    key         uuid        NOT NULL,
    attempts    integer     NOT NULL DEFAULT 0,
    claimed     boolean     NOT NULL DEFAULT false,
    destination text        NOT NULL,
    headers     bytea       NOT NULL,
    body        bytea       NOT NULL,
    last_error  text,
    CONSTRAINT outbox_attempts_range CHECK (attempts >= 0),
    CONSTRAINT outbox_destination_length CHECK (octet_length(destination) BETWEEN 1 AND 120),
    CONSTRAINT outbox_headers_size CHECK (octet_length(headers) <= 131072),
    CONSTRAINT outbox_body_size CHECK (octet_length(body) <= 16777216)
) WITH (
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0
);

-- What waits for a relay is found in an index that the rows in flight never enter.
CREATE INDEX outbox_unclaimed ON saga.outbox (due_at) WHERE NOT claimed;
CREATE INDEX outbox_claimed ON saga.outbox (due_at) WHERE claimed;

-- Rows that no broker will ever take, each with its reason. Only an operator empties this table.
CREATE TABLE saga.outbox_dead (
    id          uuid        CONSTRAINT outbox_dead_pkey PRIMARY KEY,
    created_at  timestamptz NOT NULL,
    dead_at     timestamptz NOT NULL DEFAULT statement_timestamp(),
    message     uuid        NOT NULL,
    key         uuid        NOT NULL,
    attempts    integer     NOT NULL,
    destination text        NOT NULL,
    headers     bytea       NOT NULL,
    body        bytea       NOT NULL,
    reason      text        NOT NULL
);
