//! The outbox: messages that are committed and not yet known to be with the broker.

use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use crate::message::Envelope;
use crate::port::StoreError;

/// Names an outbox row. Message ids do not: a resend may be queued while the first row waits for its deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowId(Uuid);

impl RowId {
    /// Takes a UUID as a row's id.
    pub const fn from_uuid(uuid: Uuid) -> Self {
        RowId(uuid)
    }

    /// The id as a UUID.
    pub const fn as_uuid(&self) -> Uuid {
        self.0
    }
}

/// A message that is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxRow {
    /// The row's own id.
    pub id: RowId,
    /// The message.
    pub envelope: Envelope,
    /// For a row that is about to be inserted: whether this process keeps it in memory and sends it itself.
    ///
    /// A claimed row is left alone by every sweeper until the lease is over; an unclaimed one is due at once.
    pub claimed: bool,
}

/// What waits in an outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Backlog {
    /// How many rows are not yet confirmed.
    pub unsent: u64,
    /// How long the oldest of them has waited.
    pub oldest: Option<Duration>,
    /// How many rows are set aside because no broker will ever take them.
    pub dead: u64,
}

/// All that a relay needs, on both sides.
///
/// # Contract
///
/// - **Claims are by row state**, never by a cursor: a row that commits late is found like any other.
/// - **A claim is a lease** on the database's clock. It only avoids double work; sending twice is harmless.
/// - **Rows are deleted only by id**, and only after the broker's durable confirm.
/// - **No call holds a transaction** when it returns. Deleting or postponing a row that is gone does nothing.
/// - **A dropped future** may or may not have had its effect; a claimed row is then due when its lease ends.
#[async_trait]
pub trait Outbox: Send + Sync + 'static {
    /// Claims up to `limit` rows that are unclaimed and due, or whose lease is over, until `lease` from now.
    async fn claim(&self, limit: usize, lease: Duration) -> Result<Vec<OutboxRow>, StoreError>;

    /// Deletes rows that the broker has confirmed.
    async fn delete(&self, rows: &[RowId]) -> Result<(), StoreError>;

    /// Gives rows back, to be due `after` from now, and notes why they could not be sent.
    async fn postpone(&self, rows: &[RowId], after: Duration, why: &str) -> Result<(), StoreError>;

    /// Moves rows that no broker will ever take to the dead rows, each with its reason.
    async fn set_aside(&self, rows: &[(RowId, String)]) -> Result<(), StoreError>;

    /// What waits, computed from the tables.
    async fn backlog(&self) -> Result<Backlog, StoreError>;
}
