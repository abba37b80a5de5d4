//! The columns of the table `fence` that watch rows behind which a call may land.

/// Has the rows of the keys `$1`, `$2`, `$3` (sagas, steps, participants) watched for calls of the commands `$4`, and
/// looked at after the pauses `$5`.
pub(crate) const WATCH: &str = "
UPDATE saga.fence
SET watched = asked.command, watched_since = statement_timestamp(), look_claims = 0,
    look_at = statement_timestamp() + asked.pause * interval '1 microsecond'
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::int8[])
    AS asked (saga, step, participant, command, pause)
WHERE fence.saga = asked.saga AND fence.step = asked.step AND fence.participant = asked.participant
";

/// Claims up to `$2` rows of the participant `$1` that are due to be looked at, and puts them off by `$3`. Those that were
/// claimed before are claimed one at a time, and only while no other is due.
pub(crate) const CLAIM: &str = "
WITH due AS MATERIALIZED (
    SELECT ctid AS place, look_claims
    FROM saga.fence
    WHERE participant = $1 AND watched IS NOT NULL AND look_at <= statement_timestamp()
    ORDER BY look_claims, look_at
    LIMIT $2
    FOR UPDATE SKIP LOCKED
), chosen AS (
    SELECT place FROM due WHERE look_claims = 0
    UNION ALL
    (SELECT place FROM due WHERE NOT EXISTS (SELECT FROM due WHERE look_claims = 0) ORDER BY look_claims LIMIT 1)
)
UPDATE saga.fence
SET look_claims = look_claims + 1, look_at = statement_timestamp() + $3 * interval '1 microsecond'
WHERE ctid = ANY (ARRAY(SELECT place FROM chosen))
RETURNING saga, step, watched, look_claims,
    (extract(epoch FROM statement_timestamp() - watched_since) * 1000000)::int8 AS watched_for
";

/// How many rows of the participant `$1` are watched.
pub(crate) const COUNT: &str = "
SELECT count(*) AS watched FROM saga.fence WHERE participant = $1 AND watched IS NOT NULL
";

/// Notes that looks at the rows of the keys `$1`, `$2`, `$3` came to an end. The next is due after the pauses `$4`; where
/// there is none, the row is watched no longer.
pub(crate) const LOOKED: &str = "
UPDATE saga.fence
SET watched = CASE WHEN asked.pause IS NOT NULL THEN watched END,
    watched_since = CASE WHEN asked.pause IS NOT NULL THEN watched_since END,
    look_claims = CASE WHEN asked.pause IS NOT NULL THEN 0 END,
    look_at = statement_timestamp() + asked.pause * interval '1 microsecond'
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::int8[]) AS asked (saga, step, participant, pause)
WHERE fence.saga = asked.saga AND fence.step = asked.step AND fence.participant = asked.participant
    AND watched IS NOT NULL
";
