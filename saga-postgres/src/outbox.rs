//! The port `Outbox`, for the store and for the fence.

use std::time::Duration;

use async_trait::async_trait;
use saga_core::port::{Backlog, Outbox, OutboxRow, RowId, StoreError};
use sqlx::postgres::{PgBindIterExt, PgRow};
use tracing::error;

use crate::database::Database;
use crate::error::{Failure, without_effect};
use crate::fence::PgFence;
use crate::pool::Statement;
use crate::row::{micros, micros_ago, printable, read, read_count, read_envelope, read_now, taken};
use crate::store::PgStore;
use crate::table::outbox;

#[async_trait]
impl Outbox for Database {
    async fn claim(&self, limit: usize, lease: Duration) -> Result<Vec<OutboxRow>, StoreError> {
        let search = self.claimed_rows.begin(&[]);
        let statement =
            self.statement(outbox::CLAIM).bind(limit as i64).bind(micros(lease)).bind(search.from());
        let rows = self.fetch(statement).await?;
        let mut claimed = Vec::new();
        let mut unreadable = Vec::new();
        for row in taken(&rows, "id")? {
            let id = RowId::from_uuid(read(row, "id")?);
            match read_row(row, id) {
                Ok(row) => claimed.push(row),
                Err(failure) => unreadable.push((id, StoreError::from(failure).to_string())),
            }
        }
        search.end(read_now(&rows)?, claimed.len() + unreadable.len() < limit);
        if !unreadable.is_empty() {
            // Nobody could send them, and they must not stand in the others' way.
            error!(rows = unreadable.len(), "outbox rows cannot be read and are set aside");
            self.set_aside(&unreadable).await?;
        }
        Ok(claimed)
    }

    async fn delete(&self, rows: &[RowId]) -> Result<(), StoreError> {
        self.run(self.statement(outbox::DELETE).bind(in_order(rows))).await
    }

    async fn postpone(&self, rows: &[RowId], after: Duration, why: &str) -> Result<(), StoreError> {
        let statement = self.statement(outbox::POSTPONE).bind(in_order(rows));
        self.run(statement.bind(micros(after)).bind(printable(why))).await
    }

    async fn set_aside(&self, rows: &[(RowId, String)]) -> Result<(), StoreError> {
        let ids = rows.iter().map(|(id, _)| id.as_uuid()).bind_iter();
        let reasons = rows.iter().map(|(_, reason)| printable(reason)).bind_iter();
        self.run(self.statement(outbox::SET_ASIDE).bind(ids).bind(reasons)).await
    }

    async fn backlog(&self) -> Result<Backlog, StoreError> {
        let rows = self.fetch(self.statement(outbox::BACKLOG)).await.map_err(without_effect)?;
        let backlog = rows.first().map(read_backlog).transpose()?;
        Ok(backlog.unwrap_or_default())
    }
}

impl Database {
    async fn run(&self, statement: Statement) -> Result<(), StoreError> {
        self.fetch(statement).await?;
        Ok(())
    }
}

/// The columns of a [`Backlog`].
pub(crate) fn read_backlog(row: &PgRow) -> Result<Backlog, Failure> {
    let oldest = read::<Option<i64>>(row, "oldest")?;
    Ok(Backlog {
        unsent: read_count(row, "unsent")?,
        oldest: oldest.map(micros_ago),
        dead: read_count(row, "dead")?,
    })
}

fn read_row(row: &PgRow, id: RowId) -> Result<OutboxRow, Failure> {
    Ok(OutboxRow { id, envelope: read_envelope(row)?, claimed: true })
}

/// Ids in the order in which everybody locks rows.
fn in_order(rows: &[RowId]) -> Vec<uuid::Uuid> {
    let mut ids: Vec<_> = rows.iter().map(RowId::as_uuid).collect();
    ids.sort_unstable();
    ids
}

/// The store and the fence each have an outbox: that of their database.
macro_rules! outbox_of_database {
    ($port:ty) => {
        #[async_trait]
        impl Outbox for $port {
            async fn claim(&self, limit: usize, lease: Duration) -> Result<Vec<OutboxRow>, StoreError> {
                self.database.claim(limit, lease).await
            }

            async fn delete(&self, rows: &[RowId]) -> Result<(), StoreError> {
                self.database.delete(rows).await
            }

            async fn postpone(&self, rows: &[RowId], after: Duration, why: &str) -> Result<(), StoreError> {
                self.database.postpone(rows, after, why).await
            }

            async fn set_aside(&self, rows: &[(RowId, String)]) -> Result<(), StoreError> {
                self.database.set_aside(rows).await
            }

            async fn backlog(&self) -> Result<Backlog, StoreError> {
                self.database.backlog().await
            }
        }
    };
}

outbox_of_database!(PgStore);
outbox_of_database!(PgFence);
