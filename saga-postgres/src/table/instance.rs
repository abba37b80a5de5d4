//! The table `instance`, and what operators see of it.

/// The database's time, and those of the sagas `$1` that exist. One row without a saga if none does.
pub(crate) const LOAD: &str = "
SELECT (extract(epoch FROM statement_timestamp()) * 1000000)::int8 AS now,
    instance.id, instance.version, status, state, data, parked,
    definition.name, definition.version AS definition_version, fingerprint
FROM (SELECT) AS once
LEFT JOIN saga.instance ON instance.id = ANY($1)
LEFT JOIN saga.definition ON definition.id = instance.definition
";

/// Up to `$5` sagas, newest first: of the type `$1`, with the status `$2`, with the business key `$3`, before the
/// saga `$4`; begun at least `$6` and less than `$7` ago; neither ended nor moved for `$8`. A null filters nothing.
pub(crate) const LIST: &str = "
SELECT instance.id, instance.version, status, parked, parent, parent_step, business_key.key,
    definition.name, definition.version AS definition_version, fingerprint,
    (extract(epoch FROM started_at) * 1000000)::int8 AS started,
    (extract(epoch FROM moved_at) * 1000000)::int8 AS moved
FROM saga.instance
JOIN saga.definition ON definition.id = instance.definition
LEFT JOIN saga.business_key ON business_key.saga = instance.id
WHERE ($1::text IS NULL OR definition.name = $1)
    AND ($2::text IS NULL OR status = $2)
    AND ($3::text IS NULL OR business_key.key = $3)
    AND ($4::uuid IS NULL OR instance.id < $4)
    AND ($6::int8 IS NULL OR started_at <= statement_timestamp() - $6 * interval '1 microsecond')
    AND ($7::int8 IS NULL OR started_at > statement_timestamp() - $7 * interval '1 microsecond')
    AND ($8::int8 IS NULL OR status IN ('running', 'compensating', 'provisional', 'parked')
        AND moved_at <= statement_timestamp() - $8 * interval '1 microsecond')
ORDER BY instance.id DESC
LIMIT $5
";

/// The saga `$1` with its journal, which is an array of rows so that the saga is sent only once; then up to `$2` sagas
/// that its steps have run, without theirs. All of them may be archived.
pub(crate) const SHOW: &str = "
WITH shown AS (
    SELECT id, version, status, parked, parent, parent_step, definition, started_at, moved_at,
        CASE WHEN id = $1 THEN state END AS state,
        CASE WHEN id = $1 THEN data END AS data,
        CASE WHEN id = $1 THEN ARRAY(
            SELECT ROW(version, event, now, decision, at, writer)::saga.archived_line
            FROM saga.journal WHERE journal.saga = instance.id ORDER BY version
        ) END AS journal
    FROM saga.instance WHERE id = $1 OR parent = $1
    UNION ALL
    SELECT id, version, status, NULL, parent, parent_step, definition, started_at, moved_at,
        CASE WHEN id = $1 THEN state END,
        CASE WHEN id = $1 THEN data END,
        CASE WHEN id = $1 THEN journal END
    FROM saga.archive WHERE id = $1 OR parent = $1
)
SELECT shown.id, shown.version, status, parked, parent, parent_step, business_key.key, state, data,
    definition.name, definition.version AS definition_version, fingerprint,
    (extract(epoch FROM started_at) * 1000000)::int8 AS started,
    (extract(epoch FROM moved_at) * 1000000)::int8 AS moved,
    ARRAY(
        SELECT ROW(
            version, event, (extract(epoch FROM now) * 1000000)::int8, decision,
            (extract(epoch FROM at) * 1000000)::int8, writer
        )
        FROM unnest(journal)
    ) AS journal,
    ARRAY(
        SELECT ROW(step, direction, attempt, (extract(epoch FROM due_at) * 1000000)::int8)
        FROM saga.timer WHERE timer.saga = shown.id AND shown.id = $1 ORDER BY step
    ) AS timers
FROM shown
JOIN saga.definition ON definition.id = shown.definition
LEFT JOIN saga.business_key ON business_key.saga = shown.id
ORDER BY shown.id <> $1, shown.id
LIMIT $2 + 1
";

/// What is under way: a row for each definition with sagas that neither ended nor parked, one for each step of a
/// definition that is awaited, and one without a definition for the messages that are unsent. `repeated` counts those of
/// the step that were asked for more than once; items count as their step.
pub(crate) const WORKLOAD: &str = "
SELECT definition.name, definition.version AS definition_version, fingerprint, counted.*
FROM (
    SELECT definition, NULL AS step, count(*), 0::int8 AS repeated FROM saga.instance
    WHERE status IN ('running', 'compensating', 'provisional') GROUP BY definition
    UNION ALL
    SELECT definition, split_part(step, '#', 1), count(*), count(*) FILTER (WHERE attempt > 1) FROM saga.timer
    GROUP BY definition, split_part(step, '#', 1)
    UNION ALL
    SELECT NULL, NULL, count(*), 0 FROM saga.outbox
) AS counted (definition, step, count, repeated)
LEFT JOIN saga.definition ON definition.id = counted.definition
ORDER BY definition.name, definition.version, counted.step
";

/// The saga to which sagas of the type `$1` gave the key `$2`.
pub(crate) const HOLDER: &str = "SELECT saga FROM saga.business_key WHERE key = $2 AND name = $1";

/// How things stand: a row for each definition that has unfinished sagas, and in each row what is true of all.
/// One row without a definition if none has.
///
/// A saga that is through waits for its parent, and for nothing of its own: it is never the oldest.
///
/// Reads every unfinished saga: `moved_at` has no index, because that would cost each transition its HOT update.
pub(crate) const HEALTH: &str = "
WITH unfinished AS MATERIALIZED (
    SELECT id, definition, moved_at, status, status = 'parked' AS parked FROM saga.instance
    WHERE status IN ('running', 'compensating', 'provisional', 'parked')
), oldest AS (
    SELECT id, (extract(epoch FROM statement_timestamp() - moved_at) * 1000000)::int8 AS waiting
    FROM unfinished WHERE status IN ('running', 'compensating') ORDER BY moved_at LIMIT 1
), counted AS (
    SELECT definition, count(*) AS unfinished FROM unfinished GROUP BY definition
)
SELECT (SELECT count(*) FROM unfinished WHERE NOT parked) AS going,
    (SELECT count(*) FROM unfinished WHERE parked) AS parked,
    (SELECT count(*) FROM saga.held) AS held,
    backlog.unsent, backlog.oldest, (SELECT count(*) FROM saga.outbox_dead) AS dead,
    oldest.id AS oldest_saga, oldest.waiting,
    definition.name, definition.version AS definition_version, fingerprint, counted.unfinished
FROM (
    SELECT count(*) AS unsent,
        (extract(epoch FROM statement_timestamp() - min(created_at)) * 1000000)::int8 AS oldest
    FROM saga.outbox
) AS backlog
LEFT JOIN oldest ON true
LEFT JOIN (counted JOIN saga.definition ON definition.id = counted.definition) ON true
ORDER BY definition.name, definition.version
";

/// Which transaction this is.
pub(crate) const TRANSACTION: &str = "SELECT pg_current_xact_id()::text AS xid";

/// Notes at the sagas that were run as steps of the sagas `$1` that those have ended; not at one that was taken back before
/// it began, which waits for no notice. In the order of their ids, as every statement over several sagas.
pub(crate) const NOTE_PARENT_ENDED: &str = "
WITH child AS MATERIALIZED (
    SELECT id FROM saga.instance
    WHERE parent = ANY($1) AND NOT (version = 1 AND status = 'compensated')
    ORDER BY id
    FOR UPDATE
)
UPDATE saga.instance SET parent_ended_at = statement_timestamp() FROM child WHERE instance.id = child.id
";
