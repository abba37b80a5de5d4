//! The participant's side of the database: fence rows, replies, and the handler's transaction around both.

use std::time::Duration;

use async_trait::async_trait;

use crate::fence::{FenceKey, FenceState};
use crate::policy::Timestamp;
use crate::port::{OutboxRow, StoreError};

/// What one command leaves behind in the transaction that ran it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FenceWrite {
    /// The row.
    pub key: FenceKey,
    /// Its new state; `None` if it shall be as it was before the transaction (after a fault, or an answer from the record).
    pub state: Option<FenceState>,
    /// The reply to store in the participant's outbox.
    pub reply: Option<OutboxRow>,
}

/// Fence rows and the transactions they are written in.
///
/// # Contract
///
/// - **The row is written first.** [`begin`](Fence::begin) inserts a row for each key that has none, before any
///   handler runs, so a second copy of a command waits for the first and then sees what it recorded.
/// - **One transaction** holds the rows, whatever the handlers write through `Tx`, and the replies.
/// - **A dropped `Tx` is rolled back**, and leaves no row that was not there before.
/// - **Keys are locked in their order**, so two transactions over the same keys cannot deadlock on the fence.
/// - **What a row means** is decided by [`fence::decide`](crate::fence::decide), never by the adapter.
#[async_trait]
pub trait Fence: Send + Sync + 'static {
    /// The transaction that handlers work in.
    type Tx: Send;

    /// Opens a transaction, and returns it with the state of each key's row, in the order of `keys`.
    ///
    /// `None` says that there was no row; one is inserted, and a commit without a [`FenceWrite`] for it removes it.
    /// `keys` must be sorted and hold no key twice; at most 256.
    async fn begin(&self, keys: &[FenceKey]) -> Result<(Self::Tx, Vec<Option<FenceState>>), StoreError>;

    /// Marks a point that [`rollback`](Fence::rollback) returns to. An earlier mark is forgotten.
    async fn savepoint(&self, tx: &mut Self::Tx) -> Result<(), StoreError>;

    /// Undoes what was written since the last mark.
    async fn rollback(&self, tx: &mut Self::Tx) -> Result<(), StoreError>;

    /// Writes the outcomes and the replies, and commits. Claimed replies are left alone by sweepers for `lease`.
    ///
    /// Exactly one write for each key of [`begin`](Fence::begin), in the same order.
    async fn commit(&self, tx: Self::Tx, writes: &[FenceWrite], lease: Duration) -> Result<(), StoreError>;

    /// Counts one more run for each key, in one commit of its own, and returns the counts.
    ///
    /// Called before a delivery that may be a repeat is run, so a handler that aborts the process is recognised.
    async fn count_runs(&self, keys: &[FenceKey]) -> Result<Vec<u32>, StoreError>;

    /// Forgets the counts of keys whose run came to an end.
    async fn forget_runs(&self, keys: &[FenceKey]) -> Result<(), StoreError>;

    /// The database's time when the transaction looked for its rows, for commands with a date past which they are not
    /// run. No clock but the one that rows are deleted by, so that no row is gone before its command is out of date.
    fn began(&self, tx: &Self::Tx) -> Timestamp;
}
