//! What the store and the fence share: connections, the schema's name and the limits.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use saga_core::port::{IdSource, OutboxRow, RandomIds, StoreError};
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::config::Config;
use crate::error::Failure;
use crate::floor::Floor;
use crate::pool::{Pool, Statement};
use crate::schema::Schema;

/// A database with the framework's tables.
pub(crate) struct Database {
    pool: Arc<Pool>,
    schema: Schema,
    pub(crate) writer: String,
    body_bytes_max: usize,
    /// Where to look for outbox rows whose claim has run out.
    pub(crate) claimed_rows: Floor,
    /// Where to look for due timers.
    pub(crate) timers: Floor,
    /// Where to look for ended sagas: in microseconds since 1970, and 0 once none were left.
    pub(crate) retired_until: AtomicI64,
    /// The same for those that were run as steps.
    pub(crate) children_retired_until: AtomicI64,
}

impl Database {
    /// Opens one connection, to find out now whether there is a primary that can be used.
    pub(crate) async fn connect(config: &Config) -> Result<Arc<Self>, StoreError> {
        let database = Database {
            pool: Pool::for_statements(config),
            schema: config.schema.clone(),
            writer: config.writer.clone(),
            body_bytes_max: config.body_bytes_max,
            claimed_rows: Floor::default(),
            timers: Floor::default(),
            retired_until: AtomicI64::default(),
            children_retired_until: AtomicI64::default(),
        };
        database.pool.lease().await?.give_back();
        Ok(Arc::new(database))
    }

    /// A statement of one of the `table` files, without arguments yet.
    pub(crate) fn statement(&self, text: &'static str) -> Statement {
        sqlx::query(self.schema.sql(text))
    }

    /// Runs a statement in a transaction of its own.
    pub(crate) async fn fetch(&self, statement: Statement) -> Result<Vec<PgRow>, Failure> {
        self.pool.fetch(statement).await
    }

    /// The connections for statements.
    pub(crate) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Refuses rows whose body is over the limit: here, so that the error reaches whoever made the body.
    pub(crate) fn check_bodies<'a>(
        &self,
        rows: impl IntoIterator<Item = &'a OutboxRow>,
    ) -> Result<(), String> {
        let max = self.body_bytes_max;
        match rows.into_iter().find(|row| row.envelope.body.len() > max) {
            None => Ok(()),
            Some(row) => Err(format!(
                "the body of message {} to {} has {} bytes, more than body_bytes_max ({max})",
                row.envelope.id,
                row.envelope.destination,
                row.envelope.body.len()
            )),
        }
    }

    /// An id that nobody had before.
    pub(crate) fn fresh_id(&self) -> Uuid {
        RandomIds.uuid()
    }
}
