-- The order service's own tables, beside the schema `saga`.

-- What may be ordered. How much there is of it is the inventory's business.
CREATE TABLE catalogue (
    item text CONSTRAINT catalogue_pkey PRIMARY KEY
);

-- How an order stands is not stored here: its saga knows.
CREATE TABLE orders (
    id        uuid        CONSTRAINT orders_pkey PRIMARY KEY,
    saga      uuid        NOT NULL CONSTRAINT orders_saga_key UNIQUE,
    placed_at timestamptz NOT NULL DEFAULT statement_timestamp(),
    customer  text        NOT NULL,
    amount    bigint      NOT NULL,
    items     text        NOT NULL,
    CONSTRAINT orders_amount_positive CHECK (amount > 0)
);

INSERT INTO catalogue (item) VALUES
    ('pen'), ('lamp'), ('piano'),
    ('faulty-panics'), ('faulty-aborts'), ('faulty-hangs'), ('faulty-broken');
