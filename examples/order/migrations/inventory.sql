-- The inventory service's own tables, beside the schema `saga`.

-- opening = available + what is reserved + what was shipped, at every moment.
CREATE TABLE stock (
    item      text   CONSTRAINT stock_pkey PRIMARY KEY,
    opening   bigint NOT NULL,
    available bigint NOT NULL,
    shipped   bigint NOT NULL DEFAULT 0,
    -- It is also the key under which a saga ships the item.
    CONSTRAINT stock_item_is_key CHECK (item ~ '^[A-Za-z0-9._-]{1,100}$'),
    CONSTRAINT stock_available_range CHECK (available BETWEEN 0 AND opening),
    CONSTRAINT stock_shipped_range CHECK (shipped BETWEEN 0 AND opening)
);

-- Goods that are set aside, until they are shipped or put back.
CREATE TABLE reservation (
    order_id uuid   NOT NULL,
    item     text   NOT NULL CONSTRAINT reservation_item_fkey REFERENCES stock,
    quantity bigint NOT NULL,
    CONSTRAINT reservation_quantity_positive CHECK (quantity > 0)
);

CREATE INDEX reservation_order ON reservation (order_id);

-- One row for each thing that was done. No unique key: the fence keeps it at one, and an audit must see if it did not.
CREATE TABLE ledger (
    order_id uuid        NOT NULL,
    effect   text        NOT NULL,
    item     text,
    at       timestamptz NOT NULL DEFAULT statement_timestamp(),
    CONSTRAINT ledger_effect_known CHECK (effect IN ('reserve', 'release', 'ship')),
    CONSTRAINT ledger_ships_items CHECK ((effect = 'ship') = (item IS NOT NULL))
);

-- Handlers fail for the faulty ones, if the service is told to let them.
INSERT INTO stock (item, opening, available)
SELECT item, pieces, pieces
FROM (VALUES
    ('pen', 1000), ('lamp', 50), ('piano', 1),
    ('faulty-panics', 100), ('faulty-aborts', 100), ('faulty-hangs', 100), ('faulty-broken', 100)
) AS opening (item, pieces);
