-- The participant's tables.

-- One row for each step that a participant has been asked about. A transaction inserts its rows as 'closed' before
-- the handler runs, so that a second copy of the command waits, and writes the outcome into them at its end.
CREATE TABLE saga.fence (
    saga        uuid        NOT NULL,
    step        text        NOT NULL,
    participant text        NOT NULL,
    at          timestamptz NOT NULL DEFAULT statement_timestamp(),
    state       text        NOT NULL,
    payload     bytea,
    CONSTRAINT fence_pkey PRIMARY KEY (saga, step, participant),
    CONSTRAINT fence_step_length CHECK (octet_length(step) BETWEEN 1 AND 120),
    CONSTRAINT fence_participant_length CHECK (octet_length(participant) BETWEEN 1 AND 120),
    CONSTRAINT fence_state_known CHECK (state IN ('started', 'applied', 'refused', 'compensated', 'closed')),
    CONSTRAINT fence_payload_recorded CHECK ((state IN ('applied', 'refused')) = (payload IS NOT NULL)),
    CONSTRAINT fence_payload_size CHECK (octet_length(payload) <= 16777216)
) WITH (
    fillfactor = 80,
    autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_vacuum_cost_delay = 0
);

-- How often a command that may have been delivered before has been run without coming to an end.
CREATE TABLE saga.fence_run (
    saga        uuid   NOT NULL,
    step        text   NOT NULL,
    participant text   NOT NULL,
    runs        bigint NOT NULL DEFAULT 1,
    CONSTRAINT fence_run_pkey PRIMARY KEY (saga, step, participant),
    CONSTRAINT fence_run_step_length CHECK (octet_length(step) BETWEEN 1 AND 120),
    CONSTRAINT fence_run_participant_length CHECK (octet_length(participant) BETWEEN 1 AND 120),
    CONSTRAINT fence_run_runs_range CHECK (runs BETWEEN 1 AND 4294967295)
);
