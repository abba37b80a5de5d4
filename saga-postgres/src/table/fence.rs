//! The table `fence`.

/// Inserts a row for each of the keys `$1`, `$2`, `$3` (sagas, steps, participants) that has none, in their order, and
/// returns the transaction's id and the time with each key that got one; with none, if all had rows.
///
/// Waits for a transaction that has inserted one of them and not ended.
pub(crate) const PLACE: &str = "
WITH placed AS (
    INSERT INTO saga.fence (saga, step, participant, state)
    SELECT saga, step, participant, 'closed'
    FROM unnest($1::uuid[], $2::text[], $3::text[]) WITH ORDINALITY AS key (saga, step, participant, position)
    ORDER BY position
    ON CONFLICT DO NOTHING
    RETURNING saga, step, participant
)
SELECT pg_current_xact_id()::text AS xid, position,
    (extract(epoch FROM statement_timestamp()) * 1000000)::int8 AS now
FROM (SELECT) AS once
LEFT JOIN (
    SELECT key.position
    FROM unnest($1::uuid[], $2::text[], $3::text[]) WITH ORDINALITY AS key (saga, step, participant, position)
    JOIN placed USING (saga, step, participant)
) AS place ON true
";

/// Locks the rows of the keys that were there already, in their order, and reads them.
///
/// A statement of its own: [`PLACE`] cannot see a row whose insertion it has waited for. Each key is looked up by
/// itself (`OFFSET 0` keeps the planner from turning that into a join), because the planner may not know yet
/// how large the table has become.
pub(crate) const LOCK: &str = "
SELECT position, state, payload
FROM unnest($1::uuid[], $2::text[], $3::text[]) WITH ORDINALITY AS key (saga, step, participant, position)
CROSS JOIN LATERAL (
    SELECT state, payload FROM saga.fence
    WHERE fence.saga = key.saga AND fence.step = key.step AND fence.participant = key.participant
    OFFSET 0
    FOR UPDATE
) AS fence
ORDER BY position
";

/// Writes the outcomes and the replies of the transaction `$1`, and returns a row; writes and returns nothing if
/// this is another transaction.
///
/// - `$2` the lease of claimed replies; 0 claims none
/// - `$3..$7` outcomes: saga, step, participant, state, payload
/// - `$8..$10` rows to remove: saga, step, participant
/// - `$11..$17` replies: id, message, destination, key, headers, body, claimed
///
/// Every row was placed or locked before; an outcome is an upsert, and a removal looks up each key by itself, only so
/// that they find their rows by the index, as in [`LOCK`].
pub(crate) const RECORD: &str = "
WITH here AS MATERIALIZED (
    SELECT WHERE pg_current_xact_id()::text = $1
), recorded AS (
    INSERT INTO saga.fence (saga, step, participant, state, payload)
    SELECT outcome.*
    FROM here, unnest($3::uuid[], $4::text[], $5::text[], $6::text[], $7::bytea[]) AS outcome
    ON CONFLICT (saga, step, participant) DO UPDATE SET state = excluded.state, payload = excluded.payload
), removed AS (
    DELETE FROM saga.fence WHERE ctid = ANY (ARRAY(
        SELECT row.id
        FROM here, unnest($8::uuid[], $9::text[], $10::text[]) AS placed (saga, step, participant)
        CROSS JOIN LATERAL (
            SELECT ctid AS id FROM saga.fence
            WHERE fence.saga = placed.saga AND fence.step = placed.step AND fence.participant = placed.participant
            OFFSET 0
        ) AS row
    ))
), replied AS (
    INSERT INTO saga.outbox (id, claimed, due_at, message, key, destination, headers, body)
    SELECT id, claimed AND $2 > 0,
        statement_timestamp() + CASE WHEN claimed THEN $2 ELSE 0 END * interval '1 microsecond',
        message, key, destination, headers, body
    FROM here, unnest($11::uuid[], $12::uuid[], $13::text[], $14::uuid[], $15::bytea[], $16::bytea[], $17::bool[])
        AS reply (id, message, destination, key, headers, body, claimed)
)
SELECT true AS recorded FROM here
";

/// Notes at the rows of the participant `$1` that the sagas `$2` have ended. Their index leads to the rows, in its
/// order.
pub(crate) const NOTE_ENDED: &str = "
UPDATE saga.fence SET ended_at = statement_timestamp() WHERE saga = ANY($2) AND participant = $1
";

/// Deletes up to `$3` rows of the participant `$1` whose sagas were noted as ended longer than `$2` ago, with the runs
/// that were counted of them; returns how many. Passes over rows that are watched, or that a transaction works on.
///
/// The statement does not wait for the disk: if the server forgets it, the rows are deleted again.
pub(crate) const FORGET: &str = "
WITH past AS MATERIALIZED (
    SELECT ctid AS place, saga, step
    FROM saga.fence
    WHERE participant = $1 AND watched IS NULL AND ended_at < statement_timestamp() - $2 * interval '1 microsecond'
        AND (SELECT set_config('synchronous_commit', 'off', true)) = 'off'
    ORDER BY ended_at
    LIMIT $3
    FOR UPDATE SKIP LOCKED
), uncounted AS (
    DELETE FROM saga.fence_run USING past
    WHERE fence_run.saga = past.saga AND fence_run.step = past.step AND fence_run.participant = $1
), gone AS (
    DELETE FROM saga.fence WHERE ctid = ANY (ARRAY(SELECT place FROM past)) RETURNING saga
)
SELECT count(*) AS forgotten FROM gone
";
