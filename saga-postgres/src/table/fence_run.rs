//! The table `fence_run`.

/// Counts one more run for each of the keys `$1`, `$2`, `$3` (sagas, steps, participants), in their order.
pub(crate) const COUNT: &str = "
WITH counted AS (
    INSERT INTO saga.fence_run (saga, step, participant)
    SELECT saga, step, participant
    FROM unnest($1::uuid[], $2::text[], $3::text[]) WITH ORDINALITY AS key (saga, step, participant, position)
    ORDER BY position
    ON CONFLICT (saga, step, participant) DO UPDATE SET runs = fence_run.runs + 1
    RETURNING saga, step, participant, runs
)
SELECT runs
FROM unnest($1::uuid[], $2::text[], $3::text[]) WITH ORDINALITY AS key (saga, step, participant, position)
JOIN counted USING (saga, step, participant)
ORDER BY position
";

/// Forgets the counts of the keys `$1`, `$2`, `$3`, in their order.
pub(crate) const FORGET: &str = "
DELETE FROM saga.fence_run
USING unnest($1::uuid[], $2::text[], $3::text[]) AS key (saga, step, participant)
WHERE fence_run.saga = key.saga AND fence_run.step = key.step AND fence_run.participant = key.participant
";
