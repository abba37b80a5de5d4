//! The participant's fence in memory, and the transaction that its handlers work in.

mod watch;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex, OwnedMutexGuard};
use watch::Watched;

use super::TokioClock;
use super::outbox::OutboxTable;
use crate::fence::{FenceKey, FenceState};
use crate::id::{ParticipantName, SagaId};
use crate::policy::Timestamp;
use crate::port::{Backlog, Clock, Fence, FenceWrite, Forget, Outbox, OutboxRow, RowId, StoreError};

/// A participant's database in memory: fence rows, outbox, and business data of type `D`.
///
/// A transaction has the rows and the data for itself, so a second copy of a command waits for the first, whatever
/// its key. Clones share what is stored.
///
/// # Example: a handler's data commits with the row
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use std::time::Duration;
///
/// use saga_core::fence::{FenceKey, FenceState};
/// use saga_core::id::{ParticipantName, SagaId, StepName};
/// use saga_core::memory::MemoryFence;
/// use saga_core::port::{Fence, FenceWrite};
///
/// # let saga = SagaId::from_uuid(uuid::Uuid::from_u128(1));
/// let stock = MemoryFence::<u32>::default();
/// let participant = ParticipantName::new("inventory").unwrap();
/// let key = FenceKey { participant, saga, step: StepName::new("reserve").unwrap() };
///
/// let (mut tx, states) = stock.begin(&[key.clone()]).await.unwrap();
/// assert_eq!(states, [None]);
/// *tx.data_mut() += 7;
/// let write = FenceWrite { key, state: Some(FenceState::Closed), reply: None };
/// stock.commit(tx, &[write], Duration::ZERO).await.unwrap();
/// assert_eq!(stock.data().await, 7);
/// # });
/// ```
pub struct MemoryFence<D> {
    contents: Arc<Mutex<Contents<D>>>,
    outbox: Arc<Mutex<OutboxTable>>,
    runs: Arc<Mutex<HashMap<FenceKey, u32>>>,
    clock: Arc<dyn Clock>,
}

struct Contents<D> {
    rows: HashMap<FenceKey, Row>,
    data: D,
}

struct Row {
    state: FenceState,
    /// When it was last said that its saga has ended.
    ended: Option<Timestamp>,
    watched: Option<Watched>,
}

/// A transaction of [`MemoryFence`]. It works on a copy of the data; dropped, it leaves nothing.
pub struct MemoryTx<D> {
    stored: OwnedMutexGuard<Contents<D>>,
    keys: Vec<FenceKey>,
    began: Timestamp,
    data: D,
    mark: Option<D>,
    watched: HashMap<FenceKey, Watched>,
}

impl<D> Clone for MemoryFence<D> {
    fn clone(&self) -> Self {
        MemoryFence {
            contents: self.contents.clone(),
            outbox: self.outbox.clone(),
            runs: self.runs.clone(),
            clock: self.clock.clone(),
        }
    }
}

impl<D: Default> Default for MemoryFence<D> {
    /// An empty fence on [`TokioClock`].
    fn default() -> Self {
        MemoryFence::new(D::default(), Arc::new(TokioClock::default()))
    }
}

impl<D> MemoryFence<D> {
    /// A fence without rows over the business data `data`, whose leases go by `clock`.
    pub fn new(data: D, clock: Arc<dyn Clock>) -> Self {
        let rows = HashMap::new();
        MemoryFence {
            contents: Arc::new(Mutex::new(Contents { rows, data })),
            outbox: Arc::default(),
            runs: Arc::default(),
            clock,
        }
    }

    /// What `key`'s row says, if there is one. Waits for a transaction that is open.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn row(&self, key: &FenceKey) -> Option<FenceState> {
        self.contents.lock().await.rows.get(key).map(|row| row.state.clone())
    }

    /// The outbox rows that were set aside, each with its reason.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn dead_rows(&self) -> Vec<(OutboxRow, String)> {
        self.outbox.lock().await.dead()
    }
}

impl<D: Clone> MemoryFence<D> {
    /// The business data as it was last committed. Waits for a transaction that is open.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn data(&self) -> D {
        self.contents.lock().await.data.clone()
    }
}

impl<D> MemoryTx<D> {
    /// The business data as this transaction sees it.
    pub fn data(&self) -> &D {
        &self.data
    }

    /// The business data, to be changed.
    pub fn data_mut(&mut self) -> &mut D {
        &mut self.data
    }
}

#[async_trait]
impl<D: Clone + Send + 'static> Fence for MemoryFence<D> {
    type Tx = MemoryTx<D>;

    async fn begin(&self, keys: &[FenceKey]) -> Result<(MemoryTx<D>, Vec<Option<FenceState>>), StoreError> {
        if keys.len() > KEYS_MAX || !keys.is_sorted_by(|a, b| a < b) {
            return Err(StoreError::Rejected("fence keys must be sorted, distinct and at most 256".into()));
        }
        let stored = self.contents.clone().lock_owned().await;
        let states = keys.iter().map(|key| stored.rows.get(key).map(|row| row.state.clone())).collect();
        let (data, began) = (stored.data.clone(), self.clock.now());
        let tx = MemoryTx { stored, keys: keys.to_vec(), began, data, mark: None, watched: HashMap::new() };
        Ok((tx, states))
    }

    async fn savepoint(&self, tx: &mut MemoryTx<D>) -> Result<(), StoreError> {
        tx.mark = Some(tx.data.clone());
        Ok(())
    }

    async fn rollback(&self, tx: &mut MemoryTx<D>) -> Result<(), StoreError> {
        let mark = tx.mark.clone();
        tx.data = mark.ok_or_else(|| StoreError::Rejected("there is no savepoint to return to".into()))?;
        Ok(())
    }

    async fn commit(
        &self,
        mut tx: MemoryTx<D>,
        writes: &[FenceWrite],
        lease: Duration,
    ) -> Result<(), StoreError> {
        if !writes.iter().map(|write| &write.key).eq(&tx.keys) {
            return Err(StoreError::Rejected("the writes are not those of the transaction's keys".into()));
        }
        let replies = || writes.iter().filter_map(|write| write.reply.as_ref());
        let mut outbox = self.outbox.lock().await;
        if let Some(mistake) = outbox.mistake(replies()) {
            return Err(StoreError::Rejected(mistake));
        }
        outbox.insert(replies(), lease, self.clock.now());
        tx.stored.data = tx.data;
        for write in writes {
            if let Some(state) = write.state.clone() {
                let row = tx.stored.rows.entry(write.key.clone());
                row.and_modify(|row| row.state = state.clone()).or_insert(Row {
                    state,
                    ended: None,
                    watched: None,
                });
            }
        }
        for (key, watched) in tx.watched {
            if let Some(row) = tx.stored.rows.get_mut(&key) {
                row.watched = Some(watched);
            }
        }
        Ok(())
    }

    async fn count_runs(&self, keys: &[FenceKey]) -> Result<Vec<u32>, StoreError> {
        let mut runs = self.runs.lock().await;
        let counted = keys.iter().map(|key| {
            let count = runs.entry(key.clone()).or_default();
            *count += 1;
            *count
        });
        Ok(counted.collect())
    }

    async fn forget_runs(&self, keys: &[FenceKey]) -> Result<(), StoreError> {
        let mut runs = self.runs.lock().await;
        for key in keys {
            runs.remove(key);
        }
        Ok(())
    }

    fn began(&self, tx: &MemoryTx<D>) -> Timestamp {
        tx.began
    }
}

#[async_trait]
impl<D: Clone + Send + 'static> Forget for MemoryFence<D> {
    async fn note_ended(&self, participant: &ParticipantName, sagas: &[SagaId]) -> Result<(), StoreError> {
        let now = self.clock.now();
        for (key, row) in &mut self.contents.lock().await.rows {
            if key.participant == *participant && sagas.contains(&key.saga) {
                row.ended = Some(now);
            }
        }
        Ok(())
    }

    async fn forget(
        &self,
        participant: &ParticipantName,
        horizon: Duration,
        limit: usize,
    ) -> Result<usize, StoreError> {
        let now = self.clock.now();
        let is_past =
            |row: &Row| row.watched.is_none() && row.ended.is_some_and(|ended| now.since(ended) > horizon);
        // Held by a transaction: these rows are deleted later.
        let Ok(mut contents) = self.contents.try_lock() else { return Ok(0) };
        let past = contents.rows.iter().filter(|(key, row)| key.participant == *participant && is_past(row));
        let past: Vec<FenceKey> = past.map(|(key, _)| key.clone()).take(limit).collect();
        let mut runs = self.runs.lock().await;
        for key in &past {
            contents.rows.remove(key);
            runs.remove(key);
        }
        Ok(past.len())
    }
}

#[async_trait]
impl<D: Send + 'static> Outbox for MemoryFence<D> {
    async fn claim(&self, limit: usize, lease: Duration) -> Result<Vec<OutboxRow>, StoreError> {
        let mut outbox = self.outbox.lock().await;
        Ok(outbox.claim(limit, lease, self.clock.now()))
    }

    async fn delete(&self, rows: &[RowId]) -> Result<(), StoreError> {
        self.outbox.lock().await.delete(rows);
        Ok(())
    }

    async fn postpone(&self, rows: &[RowId], after: Duration, _why: &str) -> Result<(), StoreError> {
        let mut outbox = self.outbox.lock().await;
        outbox.postpone(rows, after, self.clock.now());
        Ok(())
    }

    async fn set_aside(&self, rows: &[(RowId, String)]) -> Result<(), StoreError> {
        self.outbox.lock().await.set_aside(rows);
        Ok(())
    }

    async fn backlog(&self) -> Result<Backlog, StoreError> {
        Ok(self.outbox.lock().await.backlog(self.clock.now()))
    }
}

/// What the port allows.
const KEYS_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::id::StepName;

    fn key(step: &str) -> FenceKey {
        FenceKey {
            participant: ParticipantName::new("inventory").unwrap(),
            saga: SagaId::from_uuid(Uuid::from_u128(1)),
            step: StepName::new(step).unwrap(),
        }
    }

    fn closed(step: &str) -> FenceWrite {
        FenceWrite { key: key(step), state: Some(FenceState::Closed), reply: None }
    }

    #[tokio::test]
    async fn keys_that_a_database_could_not_lock_in_order_are_refused() {
        let fence = MemoryFence::<()>::default();
        let too_many: Vec<FenceKey> = (100..357).map(|number| key(&number.to_string())).collect();
        for keys in [&[key("b"), key("a")][..], &[key("a"), key("a")], &too_many] {
            assert!(matches!(fence.begin(keys).await, Err(StoreError::Rejected(_))), "{keys:?}");
        }
        assert!(fence.begin(&too_many[..256]).await.is_ok());
    }

    #[tokio::test]
    async fn writes_that_are_not_those_of_the_keys_are_refused_whole() {
        let fence = MemoryFence::<u32>::default();
        for writes in [&[closed("a")][..], &[closed("b"), closed("a")], &[closed("a"), closed("c")]] {
            let (mut tx, _) = fence.begin(&[key("a"), key("b")]).await.unwrap();
            *tx.data_mut() = 7;
            assert_eq!(*tx.data(), 7);
            let refused = fence.commit(tx, writes, Duration::ZERO).await;
            assert!(matches!(refused, Err(StoreError::Rejected(_))), "{writes:?}");
        }
        assert_eq!(fence.row(&key("a")).await, None);
        assert_eq!(fence.data().await, 0);
    }

    #[tokio::test]
    async fn a_rollback_without_a_savepoint_is_refused() {
        let fence = MemoryFence::<()>::default();
        let (mut tx, _) = fence.begin(&[key("a")]).await.unwrap();
        assert!(matches!(fence.rollback(&mut tx).await, Err(StoreError::Rejected(_))));
    }
}
