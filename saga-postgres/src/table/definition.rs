//! The table `definition`.

/// Adds the definitions that are not there. `$1` names, `$2` versions, `$3` fingerprints.
///
/// Asks before it inserts, because an insert that meets a conflict still uses up an id.
pub(crate) const ADD: &str = "
INSERT INTO saga.definition (name, version, fingerprint)
SELECT name, version, fingerprint
FROM unnest($1::text[], $2::int8[], $3::uuid[]) AS new (name, version, fingerprint)
WHERE NOT EXISTS (
    SELECT FROM saga.definition WHERE definition.name = new.name AND definition.version = new.version
)
ORDER BY name, version
ON CONFLICT DO NOTHING
";

/// Locks the definitions whose fingerprint differs from the stored one. Waits for starts that use the stored one,
/// and makes later ones wait.
pub(crate) const LOCK_CHANGED: &str = "
SELECT definition.id
FROM unnest($1::text[], $2::int8[], $3::uuid[]) AS new (name, version, fingerprint)
JOIN saga.definition ON definition.name = new.name AND definition.version = new.version
WHERE definition.fingerprint <> new.fingerprint
ORDER BY definition.id
FOR UPDATE OF definition
";

/// Of the definitions `$1`, those that a saga which has not ended still needs.
pub(crate) const IN_USE: &str = "
SELECT name, version
FROM saga.definition
WHERE id = ANY($1) AND EXISTS (
    SELECT FROM saga.instance
    WHERE instance.definition = definition.id AND status IN ('running', 'compensating', 'provisional', 'parked')
)
ORDER BY name, version
";

/// Gives definitions their new fingerprints. `$1` names, `$2` versions, `$3` fingerprints.
pub(crate) const REPLACE_FINGERPRINT: &str = "
UPDATE saga.definition
SET fingerprint = new.fingerprint
FROM unnest($1::text[], $2::int8[], $3::uuid[]) AS new (name, version, fingerprint)
WHERE definition.name = new.name AND definition.version = new.version
    AND definition.fingerprint <> new.fingerprint
";
