//! Rows to values and back: what several tables have in common.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use saga_core::definition::{DefinitionRef, Fingerprint};
use saga_core::id::{Destination, MessageId, SagaId, SagaName};
use saga_core::message::{Envelope, Headers};
use saga_core::policy::Timestamp;
use saga_core::port::Status;
use sqlx::postgres::{PgBindIterExt, PgRow, Postgres};
use sqlx::{Decode, Row, Type};
use uuid::Uuid;

use crate::error::Failure;
use crate::pool::Statement;

/// The value of a column.
pub(crate) fn read<'r, T: Decode<'r, Postgres> + Type<Postgres>>(
    row: &'r PgRow,
    column: &str,
) -> Result<T, Failure> {
    row.try_get(column).map_err(Failure::from)
}

/// The value of a column of bytes.
pub(crate) fn read_bytes(row: &PgRow, column: &str) -> Result<Bytes, Failure> {
    read::<Vec<u8>>(row, column).map(Bytes::from)
}

/// The value of a column of ids.
pub(crate) fn read_saga(row: &PgRow, column: &str) -> Result<SagaId, Failure> {
    read(row, column).map(SagaId::from_uuid)
}

/// The value of a column that counts from zero.
pub(crate) fn read_count<T: TryFrom<i64>>(row: &PgRow, column: &str) -> Result<T, Failure> {
    let count = read::<i64>(row, column)?;
    T::try_from(count).map_err(|_| unreadable(column, &count))
}

/// The value of a column of microseconds since 1970.
pub(crate) fn read_time(row: &PgRow, column: &str) -> Result<Timestamp, Failure> {
    read(row, column).map(Timestamp::from_micros)
}

/// The database's time, in statements that return it with every row and even with none.
pub(crate) fn read_now(rows: &[PgRow]) -> Result<Timestamp, Failure> {
    rows.first().map_or(Ok(Timestamp::default()), |row| read_time(row, "now"))
}

/// The rows that hold more than the time: those where `column` is not null.
pub(crate) fn taken<'a>(
    rows: &'a [PgRow],
    column: &str,
) -> Result<impl Iterator<Item = &'a PgRow> + use<'a>, Failure> {
    let holds_more =
        rows.first().map(|row| read::<Option<Uuid>>(row, column)).transpose()?.flatten().is_some();
    Ok(rows.iter().filter(move |_| holds_more))
}

/// The value of a column of names.
pub(crate) fn read_name<T: TryFrom<String>>(row: &PgRow, column: &str) -> Result<T, Failure> {
    let name = read::<String>(row, column)?;
    T::try_from(name.clone()).map_err(|_| unreadable(column, &name))
}

/// The value of the column `status`.
pub(crate) fn read_status(row: &PgRow) -> Result<Status, Failure> {
    let name = read::<&str>(row, "status")?;
    let status = Status::ALL.into_iter().find(|status| status.as_str() == name);
    status.ok_or_else(|| unreadable("status", &name))
}

/// The columns `name`, `definition_version` and `fingerprint`.
pub(crate) fn read_definition(row: &PgRow) -> Result<DefinitionRef, Failure> {
    Ok(DefinitionRef {
        name: read_name::<SagaName>(row, "name")?,
        version: read_count(row, "definition_version")?,
        fingerprint: Fingerprint::from_uuid(read(row, "fingerprint")?),
    })
}

/// The columns of an envelope.
pub(crate) fn read_envelope(row: &PgRow) -> Result<Envelope, Failure> {
    let headers = serde_json::from_slice::<Vec<(String, String)>>(read(row, "headers")?);
    Ok(Envelope {
        id: MessageId::from_uuid(read(row, "message")?),
        destination: read_name::<Destination>(row, "destination")?,
        key: read_saga(row, "key")?,
        headers: headers.map_err(|error| unreadable("headers", &error))?.into_iter().collect(),
        body: read_bytes(row, "body")?,
    })
}

/// Headers as they are stored: JSON pairs.
pub(crate) fn headers_column(headers: &Headers) -> Vec<u8> {
    let pairs: Vec<_> = headers.iter().collect();
    serde_json::to_vec(&pairs).unwrap_or_default()
}

/// A duration as SQL gets it: in microseconds.
pub(crate) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(MICROS_MAX).min(MICROS_MAX)
}

/// How long ago something was, as SQL gives it; a clock that was set back makes it now.
pub(crate) fn micros_ago(micros: i64) -> Duration {
    Duration::from_micros(micros.max(0).unsigned_abs())
}

/// Text for a human as a column can hold it: Postgres knows no NUL.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    match text.contains('\0') {
        true => text.replace('\0', "\u{fffd}").into(),
        false => text.into(),
    }
}

/// Binds definitions as three arrays: names, versions, fingerprints.
pub(crate) fn bind_definitions(statement: Statement, definitions: &[DefinitionRef]) -> Statement {
    statement
        .bind(definitions.iter().map(|definition| definition.name.as_str()).bind_iter())
        .bind(definitions.iter().map(|definition| i64::from(definition.version)).bind_iter())
        .bind(definitions.iter().map(|definition| definition.fingerprint.as_uuid()).bind_iter())
}

pub(crate) fn unreadable(column: &str, what: &dyn std::fmt::Display) -> Failure {
    Failure::Permanent(format!("the column {column} cannot be read: {what}"))
}

/// A hundred years. More than that is meant as "never", and a timestamp must stay within Postgres's range.
const MICROS_MAX: i64 = 100 * 365 * 24 * 60 * 60 * 1_000_000;
