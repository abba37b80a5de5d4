//! The statement that stores a batch of transitions. It spans the tables `instance`, `business_key`, `journal`,
//! `outbox` and `timer`, because one statement is one round trip and one transaction.

/// Stores each transition whole or not at all, and returns the sagas of those that were stored.
///
/// - `$1` the call, `$2` the writer, `$3` the lease of claimed outbox rows; 0 claims none
/// - `$4..$10` the sagas: id, expected version (0 for a start), version, status, state, data, parked
/// - `$11..$16` what starts have besides: id, definition's name, version and fingerprint, business key, input
/// - `$17..$21` the journal: saga, version, event, now, decision
/// - `$22..$29` the outbox: saga, id, message, destination, key, headers, body, claimed
/// - `$30..$34` timers to arm: saga, step, direction, attempt, after; `$35..$36` timers to drop: saga, step
/// - `$37..$38` the saga that each start is a step of, and that step; nulls for most
/// - `$39..$42` the sagas that move to another definition: id, its name, version and fingerprint
/// - `$43` how long to wait for a business key that an open transaction holds; null for as long as it takes
///
/// Rows are locked in the order of their ids (`locked`), and keys inserted in theirs (`keyed`), so that two batches
/// wait for each other instead of deadlocking. The lock on `definition` keeps a fingerprint from being replaced
/// while a saga starts with it. A saga that was taken back before it began waits for no notice of its parent's end.
/// Whatever belongs to a saga is joined with `stored`, and so falls with it.
///
/// `locked` carries the whole change: the planner takes a CTE for a few rows, and would join two of them in a loop over
/// all pairs.
pub(crate) const COMMIT: &str = "
WITH change AS (
    SELECT * FROM unnest($4::uuid[], $5::int8[], $6::int8[], $7::text[], $8::bytea[], $9::bytea[], $10::text[])
        AS change (id, expected, version, status, state, data, parked)
), known AS MATERIALIZED (
    SELECT id, name, version, fingerprint
    FROM saga.definition
    WHERE (name, version, fingerprint) IN (
        SELECT * FROM unnest($12::text[], $13::int8[], $14::uuid[])
        UNION ALL SELECT * FROM unnest($40::text[], $41::int8[], $42::uuid[])
    )
    ORDER BY id
    FOR KEY SHARE
), upgrade AS (
    SELECT upgrade.id, known.id AS definition
    FROM unnest($39::uuid[], $40::text[], $41::int8[], $42::uuid[]) AS upgrade (id, name, version, fingerprint)
    JOIN known USING (name, version, fingerprint)
), locked AS MATERIALIZED (
    SELECT change.*, upgrade.definition AS upgraded
    FROM change
    JOIN saga.instance ON instance.id = change.id AND instance.version = change.expected
    LEFT JOIN upgrade ON upgrade.id = change.id
    WHERE upgrade.id IS NOT NULL OR change.id <> ALL ($39)
    ORDER BY instance.id
    FOR NO KEY UPDATE OF instance
), moved AS (
    UPDATE saga.instance
    SET version = locked.version, status = locked.status, state = locked.state, data = locked.data,
        parked = locked.parked, moved_at = statement_timestamp(),
        definition = coalesce(locked.upgraded, instance.definition),
        ended_at = CASE WHEN locked.status IN ('completed', 'compensated') THEN statement_timestamp() END
    FROM locked
    WHERE instance.id = locked.id AND instance.version = locked.expected
    RETURNING instance.id, instance.definition
), start AS (
    SELECT start.id, known.id AS definition, start.name, start.key, start.input, start.parent, start.parent_step
    FROM unnest($11::uuid[], $12::text[], $13::int8[], $14::uuid[], $15::text[], $16::uuid[], $37::uuid[], $38::text[])
        AS start (id, name, version, fingerprint, key, input, parent, parent_step)
    JOIN known USING (name, version, fingerprint)
), keyed AS (
    INSERT INTO saga.business_key (name, key, saga, input)
    SELECT name, key, id, input
    FROM start
    WHERE key IS NOT NULL
        AND set_config('lock_timeout', coalesce($43, current_setting('lock_timeout')), true) IS NOT NULL
    ORDER BY key, name
    ON CONFLICT DO NOTHING
    RETURNING saga
), started AS (
    INSERT INTO saga.instance
        (id, definition, version, status, state, data, parked, parent, parent_step, ended_at, parent_ended_at)
    SELECT id, start.definition, change.version, change.status, change.state, change.data, change.parked,
        start.parent, start.parent_step,
        CASE WHEN change.status IN ('completed', 'compensated') THEN statement_timestamp() END,
        CASE WHEN change.status = 'compensated' AND change.version = 1 AND start.parent IS NOT NULL
            THEN statement_timestamp() END
    FROM start JOIN change USING (id)
    WHERE start.key IS NULL OR id IN (SELECT saga FROM keyed)
    ORDER BY id
    ON CONFLICT (id) DO NOTHING
    RETURNING id, definition
), stored AS (
    SELECT id AS saga, definition FROM moved UNION ALL SELECT id, definition FROM started
), recorded AS (
    INSERT INTO saga.journal (saga, version, batch, now, writer, decision, event)
    SELECT saga, version, $1, timestamptz 'epoch' + now * interval '1 microsecond', $2, decision, event
    FROM unnest($17::uuid[], $18::int8[], $19::bytea[], $20::int8[], $21::text[])
        AS entry (saga, version, event, now, decision)
    JOIN stored USING (saga)
), sent AS (
    INSERT INTO saga.outbox (id, claimed, due_at, message, key, destination, headers, body)
    SELECT id, claimed AND $3 > 0,
        statement_timestamp() + CASE WHEN claimed THEN $3 ELSE 0 END * interval '1 microsecond',
        message, key, destination, headers, body
    FROM unnest($22::uuid[], $23::uuid[], $24::uuid[], $25::text[], $26::uuid[], $27::bytea[], $28::bytea[], $29::bool[])
        AS row (saga, id, message, destination, key, headers, body, claimed)
    JOIN stored USING (saga)
), armed AS (
    INSERT INTO saga.timer (saga, step, due_at, attempt, definition, direction)
    SELECT saga, step, statement_timestamp() + after * interval '1 microsecond', attempt, definition, direction
    FROM unnest($30::uuid[], $31::text[], $32::text[], $33::int8[], $34::int8[])
        AS timer (saga, step, direction, attempt, after)
    JOIN stored USING (saga)
    ON CONFLICT (saga, step) DO UPDATE
    SET due_at = excluded.due_at, attempt = excluded.attempt, direction = excluded.direction,
        definition = excluded.definition, put_off = false
), dropped AS (
    DELETE FROM saga.timer
    USING unnest($35::uuid[], $36::text[]) AS past (saga, step) JOIN stored USING (saga)
    WHERE timer.saga = past.saga AND timer.step = past.step
), kept AS (
    UPDATE saga.timer SET definition = upgrade.definition
    FROM upgrade JOIN stored ON stored.saga = upgrade.id
    WHERE timer.saga = upgrade.id
        AND (timer.saga, timer.step) NOT IN (
            SELECT * FROM unnest($30::uuid[], $31::text[]) UNION ALL SELECT * FROM unnest($35::uuid[], $36::text[])
        )
)
SELECT saga FROM stored
";

/// Says of commits that were not stored what stood in their way.
///
/// `$1` the call, `$2..$8` the commits: id, version of the first journal entry, the name, version and fingerprint of the
/// definition that a start or an upgrade needs, and for starts business key and input. `ours` says that an earlier attempt
/// of the same call stored it.
pub(crate) const WHY_NOT_STORED: &str = "
SELECT lost.id,
    EXISTS (
        SELECT FROM saga.journal
        WHERE journal.saga = lost.id AND journal.version = lost.version AND journal.batch = $1
    ) AS ours,
    lost.name IS NULL OR EXISTS (
        SELECT FROM saga.definition
        WHERE definition.name = lost.name AND definition.version = lost.definition_version
            AND definition.fingerprint = lost.fingerprint
    ) AS known,
    EXISTS (SELECT FROM saga.instance WHERE instance.id = lost.id) AS there,
    holder.saga AS holder,
    holder.input = lost.input AS same_input
FROM unnest($2::uuid[], $3::int8[], $4::text[], $5::int8[], $6::uuid[], $7::text[], $8::uuid[])
    AS lost (id, version, name, definition_version, fingerprint, key, input)
LEFT JOIN saga.business_key AS holder ON holder.name = lost.name AND holder.key = lost.key
";
