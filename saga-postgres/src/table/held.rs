//! The table `held`.

/// Keeps replies: `$1` id, `$2` saga, `$3` message, `$4` destination, `$5` key, `$6` headers, `$7` body.
pub(crate) const KEEP: &str = "
INSERT INTO saga.held (id, saga, message, destination, key, headers, body)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::uuid[], $6::bytea[], $7::bytea[])
    AS reply (id, saga, message, destination, key, headers, body)
ORDER BY id
ON CONFLICT (id) DO NOTHING
";

/// Up to `$4` replies for sagas of the definitions `$1`, `$2`, `$3` (names, versions, fingerprints).
pub(crate) const READ: &str = "
SELECT held.id, held.saga, message, destination, key, headers, body
FROM saga.held
JOIN saga.instance ON instance.id = held.saga
JOIN saga.definition ON definition.id = instance.definition
WHERE (definition.name, definition.version, fingerprint)
    IN (SELECT * FROM unnest($1::text[], $2::int8[], $3::uuid[]))
ORDER BY held.id
LIMIT $4
";

/// Drops the replies `$1`.
pub(crate) const DROP: &str = "DELETE FROM saga.held WHERE id = ANY($1)";
