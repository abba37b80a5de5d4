//! The table `instance`.

/// The database's time, and those of the sagas `$1` that exist. One row without a saga if none does.
pub(crate) const LOAD: &str = "
SELECT (extract(epoch FROM statement_timestamp()) * 1000000)::int8 AS now,
    instance.id, instance.version, status, state, data, parked,
    definition.name AS name, definition.version AS definition_version, fingerprint
FROM (SELECT) AS once
LEFT JOIN saga.instance ON instance.id = ANY($1)
LEFT JOIN saga.definition ON definition.id = instance.definition
";
