-- The payment service's own tables, beside the schema `saga`.

-- opening = balance + what is held + what was captured, at every moment.
CREATE TABLE account (
    customer text    CONSTRAINT account_pkey PRIMARY KEY,
    opening  bigint  NOT NULL,
    balance  bigint  NOT NULL,
    captured bigint  NOT NULL DEFAULT 0,
    frozen   boolean NOT NULL DEFAULT false,
    CONSTRAINT account_balance_range CHECK (balance BETWEEN 0 AND opening),
    CONSTRAINT account_captured_range CHECK (captured BETWEEN 0 AND opening)
);

-- Money that is set aside, until it is captured or given back.
CREATE TABLE hold (
    id       uuid   NOT NULL DEFAULT gen_random_uuid() CONSTRAINT hold_pkey PRIMARY KEY,
    order_id uuid   NOT NULL,
    customer text   NOT NULL CONSTRAINT hold_customer_fkey REFERENCES account,
    amount   bigint NOT NULL,
    CONSTRAINT hold_amount_positive CHECK (amount > 0)
);

-- One row for each thing that was done. No unique key: the fence keeps it at one, and an audit must see if it did not.
CREATE TABLE ledger (
    order_id uuid        NOT NULL,
    effect   text        NOT NULL,
    at       timestamptz NOT NULL DEFAULT statement_timestamp(),
    CONSTRAINT ledger_effect_known CHECK (effect IN ('authorize', 'void', 'capture'))
);

INSERT INTO account (customer, opening, balance, frozen) VALUES
    ('ada', 1000000, 1000000, false),
    ('bob', 500, 500, false),
    ('eve', 1000000, 1000000, true);
