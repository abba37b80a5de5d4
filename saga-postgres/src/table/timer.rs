//! The table `timer`.

/// Takes up to `$4` due timers of the definitions `$1`, `$2`, `$3` (names, versions, fingerprints), and moves them to
/// the end of the lease `$5`. Timers of other definitions are not even looked at: there may be many, for long.
pub(crate) const TAKE_DUE: &str = "
WITH due AS (
    SELECT timer.saga, timer.step
    FROM unnest($1::text[], $2::int8[], $3::uuid[]) AS known (name, version, fingerprint)
    JOIN saga.definition USING (name, version, fingerprint)
    CROSS JOIN LATERAL (
        SELECT saga, step FROM saga.timer
        WHERE timer.definition = definition.id AND timer.due_at <= statement_timestamp()
        ORDER BY timer.due_at
        LIMIT $4
        FOR NO KEY UPDATE SKIP LOCKED
    ) AS timer
    LIMIT $4
)
UPDATE saga.timer
SET due_at = statement_timestamp() + $5 * interval '1 microsecond'
FROM due
WHERE timer.saga = due.saga AND timer.step = due.step
    AND (SELECT set_config('synchronous_commit', 'off', true)) = 'off'
RETURNING timer.saga, timer.step, timer.direction, timer.attempt
";
