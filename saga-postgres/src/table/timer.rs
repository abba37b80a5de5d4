//! The table `timer`.

/// Takes up to `$4` timers that became due after `$6`, which is counted from now on if it is negative, of the definitions
/// `$1`, `$2`, `$3` (names, versions, fingerprints), and moves them to the end of the lease `$5`; those that have been due
/// for longer than the grace `$7` to the end of that, once. Returns the database's time with each; with none, if there
/// were none.
///
/// Timers of other definitions are not even looked at: there may be many, for long. An array of places rather than a
/// join: the planner does not know the limit, and would join with the whole table. A timer that was changed between
/// the statement's beginning and its lock is not found at its new place, and is due at the next look. Whether a timer
/// was put off is told from its new instant, which is a microsecond later, should the grace be as long as the lease.
pub(crate) const TAKE_DUE: &str = "
WITH due AS (
    SELECT timer.place
    FROM unnest($1::text[], $2::int8[], $3::uuid[]) AS known (name, version, fingerprint)
    JOIN saga.definition USING (name, version, fingerprint)
    CROSS JOIN LATERAL (
        SELECT ctid AS place FROM saga.timer
        WHERE timer.definition = definition.id AND timer.due_at <= statement_timestamp()
            AND timer.due_at > $6 * interval '1 microsecond'
                + CASE WHEN $6 < 0 THEN statement_timestamp() ELSE timestamptz 'epoch' END
        ORDER BY timer.due_at
        LIMIT $4
        FOR NO KEY UPDATE SKIP LOCKED
    ) AS timer
    LIMIT $4
), taken AS (
    UPDATE saga.timer
    SET due_at = statement_timestamp() + interval '1 microsecond' * CASE
            WHEN NOT put_off AND due_at < statement_timestamp() - $7 * interval '1 microsecond' THEN $7 + 1
            ELSE $5
        END,
        put_off = put_off OR due_at < statement_timestamp() - $7 * interval '1 microsecond'
    WHERE ctid = ANY (ARRAY(SELECT place FROM due))
        AND (SELECT set_config('synchronous_commit', 'off', true)) = 'off'
    RETURNING timer.saga, timer.step, timer.direction, timer.attempt,
        due_at <> statement_timestamp() + $5 * interval '1 microsecond' AS is_put_off
)
SELECT (extract(epoch FROM statement_timestamp()) * 1000000)::int8 AS now, taken.*
FROM (SELECT) AS once LEFT JOIN taken ON true
";
