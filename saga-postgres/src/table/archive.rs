//! The table `archive`, and how sagas get there: the statements that retire them span all tables that know of a saga.

/// Notes that the commands of the definition `$1`, `$2`, `$3` (name, version, fingerprint) are taken by `$4`, too.
pub(crate) const NOTE_PARTICIPANTS: &str = "
UPDATE saga.definition
SET participants = ARRAY(SELECT unnest(participants) UNION SELECT unnest($4::text[]) ORDER BY 1)
WHERE name = $1 AND version = $2 AND fingerprint = $3 AND (participants IS NULL OR NOT participants @> $4::text[])
";

/// Locks up to `$3` sagas that ended `$1` ago or longer, the longest ended first, and passes over those that somebody
/// else retires. None that ended before `$2`: an index keeps what was deleted until a vacuum, and no batch should pass
/// over all that the ones before it have retired.
///
/// The transaction does not wait for the disk: if the server forgets it, the sagas are retired again, and their
/// participants are told twice.
pub(crate) const LOCK_ENDED: &str = "
SELECT instance.id, participants, (extract(epoch FROM ended_at) * 1000000)::int8 AS since
FROM saga.instance JOIN saga.definition ON definition.id = instance.definition
WHERE participants IS NOT NULL AND parent IS NULL
    AND ended_at <= statement_timestamp() - $1 * interval '1 microsecond'
    AND ended_at >= timestamptz 'epoch' + $2 * interval '1 microsecond'
    AND (SELECT set_config('synchronous_commit', 'off', true)) = 'off'
ORDER BY ended_at
LIMIT $3
FOR UPDATE OF instance SKIP LOCKED
";

/// The same for sagas that were run as steps. One stands in for a fence row, so it stays until `$4` after the notice of its
/// parent's end, and those whose parents ended first go first; none whose parent ended before `$2`.
pub(crate) const LOCK_ENDED_CHILDREN: &str = "
SELECT instance.id, participants, (extract(epoch FROM parent_ended_at) * 1000000)::int8 AS since
FROM saga.instance JOIN saga.definition ON definition.id = instance.definition
WHERE participants IS NOT NULL
    AND ended_at <= statement_timestamp() - $1 * interval '1 microsecond'
    AND parent_ended_at <= statement_timestamp() - $4 * interval '1 microsecond'
    AND parent_ended_at >= timestamptz 'epoch' + $2 * interval '1 microsecond'
    AND (SELECT set_config('synchronous_commit', 'off', true)) = 'off'
ORDER BY parent_ended_at
LIMIT $3
FOR UPDATE OF instance SKIP LOCKED
";

/// Takes the sagas `$1` out of all tables but `business_key`, puts them into the archive if `$2` says so, and stores
/// the notices of their end, which are due at once:
/// `$3..$9` the outbox: id, message, destination, key, headers, body, claimed.
pub(crate) const RETIRE: &str = "
WITH retired AS (
    DELETE FROM saga.instance WHERE id = ANY($1)
    RETURNING id, version, started_at, moved_at, definition, status, state, data, parent, parent_step
), lines AS (
    DELETE FROM saga.journal WHERE saga = ANY($1)
    RETURNING saga, version, ROW(version, event, now, decision, at, writer)::saga.archived_line AS line
), untimed AS (
    DELETE FROM saga.timer WHERE saga = ANY($1)
), unheld AS (
    DELETE FROM saga.held WHERE saga = ANY($1)
), told AS (
    INSERT INTO saga.outbox (id, due_at, message, destination, key, headers, body, claimed)
    SELECT id, statement_timestamp(), message, destination, key, headers, body, claimed
    FROM unnest($3::uuid[], $4::uuid[], $5::text[], $6::uuid[], $7::bytea[], $8::bytea[], $9::bool[])
        AS row (id, message, destination, key, headers, body, claimed)
), journal AS (
    SELECT saga, array_agg(line ORDER BY version) AS lines FROM lines GROUP BY saga
)
INSERT INTO saga.archive
    (id, version, started_at, moved_at, definition, status, state, data, parent, parent_step, journal)
SELECT id, version, started_at, moved_at, definition, status, state, data, parent, parent_step, lines
FROM retired JOIN journal ON journal.saga = retired.id
WHERE $2
ON CONFLICT (id) DO NOTHING
";
