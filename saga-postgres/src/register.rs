//! Making definitions known.

use std::time::Duration;

use saga_core::definition::DefinitionRef;
use saga_core::port::StoreError;
use sqlx::postgres::PgRow;

use crate::database::Database;
use crate::error::{Failure, without_effect};
use crate::pool::Statement;
use crate::row::{bind_definitions, read, read_count};
use crate::table::definition;
use crate::transaction::Tx;

/// Adds new definitions, and gives a stored one its new fingerprint if no saga needs the old.
///
/// The rows that change are locked before it is asked whether they are in use, and a start locks the row of its
/// definition: so either the start is seen here, or it finds the new fingerprint and is refused.
pub(crate) async fn register(database: &Database, definitions: &[DefinitionRef]) -> Result<(), StoreError> {
    let mut tx = Tx::begin(database.pool(), IDLE_MAX).await?;
    let statement = |text| bind_definitions(database.statement(text), definitions);
    fetch(&mut tx, statement(definition::ADD)).await?;
    let changed = fetch(&mut tx, statement(definition::LOCK_CHANGED)).await?;
    if !changed.is_empty() {
        let ids: Vec<i32> = changed.iter().map(|row| read(row, "id")).collect::<Result<_, _>>()?;
        let in_use = fetch(&mut tx, database.statement(definition::IN_USE).bind(ids)).await?;
        in_use.first().map_or(Ok(()), |row| Err(refusal(row)))?;
        fetch(&mut tx, statement(definition::REPLACE_FINGERPRINT)).await?;
    }
    Ok(tx.commit().await?)
}

async fn fetch(tx: &mut Tx, statement: Statement) -> Result<Vec<PgRow>, Failure> {
    let answer = tx.lease().answer(|connection| statement.fetch_all(connection));
    answer.await.map_err(without_effect)
}

fn refusal(row: &PgRow) -> StoreError {
    let name = read::<&str>(row, "name").unwrap_or_default();
    let version: u32 = read_count(row, "version").unwrap_or_default();
    StoreError::Rejected(format!(
        "the definition of {name} version {version} has changed while sagas of it have not ended; \
         give the changed definition a new version"
    ))
}

/// Nothing is waited for between these statements.
const IDLE_MAX: Duration = Duration::from_secs(10);
