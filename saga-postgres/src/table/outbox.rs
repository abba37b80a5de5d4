//! The tables `outbox` and `outbox_dead`.
//!
//! Claims, deletions and postponements do not wait for the disk (`synchronous_commit` is off for their transaction
//! alone): if the server crashes and forgets one, the row is sent again under the same id, which it may be anyway.

/// Claims up to `$1` due rows until the end of the lease `$2`: unclaimed ones, and claimed ones whose lease ended after
/// `$3`, which is counted from now on if it is negative. Returns the database's time with each; with none, if there were
/// none.
///
/// An array of ids rather than a join: the planner does not know the limit, and would join with the whole table.
pub(crate) const CLAIM: &str = "
WITH unclaimed AS (
    SELECT id, due_at FROM saga.outbox
    WHERE NOT claimed AND due_at <= statement_timestamp()
    ORDER BY due_at
    LIMIT $1
    FOR NO KEY UPDATE SKIP LOCKED
), expired AS (
    SELECT id, due_at FROM saga.outbox
    WHERE claimed AND due_at <= statement_timestamp()
        AND due_at > $3 * interval '1 microsecond'
            + CASE WHEN $3 < 0 THEN statement_timestamp() ELSE timestamptz 'epoch' END
    ORDER BY due_at
    LIMIT $1
    FOR NO KEY UPDATE SKIP LOCKED
), due AS (
    SELECT id, due_at FROM unclaimed UNION ALL SELECT id, due_at FROM expired
    ORDER BY due_at
    LIMIT $1
), taken AS (
    UPDATE saga.outbox
    SET claimed = true, due_at = statement_timestamp() + $2 * interval '1 microsecond'
    WHERE id = ANY (ARRAY(SELECT id FROM due))
        AND (SELECT set_config('synchronous_commit', 'off', true)) = 'off'
    RETURNING outbox.id, message, destination, key, headers, body
)
SELECT (extract(epoch FROM statement_timestamp()) * 1000000)::int8 AS now, taken.*
FROM (SELECT) AS once LEFT JOIN taken ON true
";

/// Deletes the rows `$1`.
pub(crate) const DELETE: &str = "
DELETE FROM saga.outbox WHERE id = ANY($1) AND (SELECT set_config('synchronous_commit', 'off', true)) = 'off'
";

/// Makes the rows `$1` due after `$2`, and notes the reason `$3`.
pub(crate) const POSTPONE: &str = "
UPDATE saga.outbox
SET claimed = false, due_at = statement_timestamp() + $2 * interval '1 microsecond', attempts = attempts + 1,
    last_error = $3
WHERE id = ANY($1) AND (SELECT set_config('synchronous_commit', 'off', true)) = 'off'
";

/// Moves the rows `$1` to the dead rows, with the reasons `$2`.
pub(crate) const SET_ASIDE: &str = "
WITH dead AS (
    DELETE FROM saga.outbox
    USING unnest($1::uuid[], $2::text[]) AS refused (id, reason)
    WHERE outbox.id = refused.id
    RETURNING outbox.id, created_at, message, key, attempts, destination, headers, body, reason
)
INSERT INTO saga.outbox_dead (id, created_at, message, key, attempts, destination, headers, body, reason)
SELECT id, created_at, message, key, attempts, destination, headers, body, reason FROM dead
";

/// What waits.
pub(crate) const BACKLOG: &str = "
SELECT count(*) AS unsent,
    (extract(epoch FROM statement_timestamp() - min(created_at)) * 1000000)::int8 AS oldest,
    (SELECT count(*) FROM saga.outbox_dead) AS dead
FROM saga.outbox
";
