//! The participant's side: the port `Fence`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use saga_core::fence::{FenceKey, FenceState};
use saga_core::message::Payload;
use saga_core::policy::Timestamp;
use saga_core::port::{Fence, FenceWrite, StoreError};
use sqlx::postgres::{PgBindIterExt, PgRow};

use crate::commit_arguments::bind_rows;
use crate::config::Config;
use crate::database::Database;
use crate::error::{Failure, without_effect};
use crate::pool::{Pool, Statement};
use crate::row::{micros, read, read_count, read_now};
use crate::table::{fence, fence_run};
use crate::transaction::Tx;

/// A participant's database: its fence, its outbox, and the transactions that its handlers write in. Cheap to clone.
///
/// It is a [`Fence`] and an [`Outbox`](saga_core::port::Outbox).
#[derive(Clone)]
pub struct PgFence {
    pub(crate) database: Arc<Database>,
    transactions: Arc<Pool>,
    idle_max: Duration,
}

impl PgFence {
    /// Connects, and finds out whether the server is a primary. The tables must be there, see
    /// [`migrate`](crate::migrate).
    ///
    /// # Errors
    ///
    /// - [`StoreError::Unavailable`] if the server cannot be reached, or is a standby.
    /// - [`StoreError::Rejected`] if it will not have us: wrong credentials, no such database.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn connect(config: &Config) -> Result<Self, StoreError> {
        Ok(PgFence {
            database: Database::connect(config).await?,
            transactions: Pool::for_transactions(config),
            idle_max: config.transaction_idle_max,
        })
    }

    /// Places a row for each key that has none; the transaction remembers for which.
    async fn place(&self, tx: &mut Tx, keys: &[FenceKey]) -> Result<(), Failure> {
        let rows = fetch(tx, bind_keys(self.database.statement(fence::PLACE), || keys.iter())).await?;
        tx.placed = vec![false; keys.len()];
        for row in &rows {
            tx.xid = read(row, "xid")?;
            if let Some(position) = read::<Option<i64>>(row, "position")? {
                // WITH ORDINALITY counts from one.
                tx.placed[position as usize - 1] = true;
            }
        }
        tx.began = read_now(&rows)?;
        Ok(())
    }

    /// Locks the rows that were there already, and returns the state of each key's row.
    async fn lock(&self, tx: &mut Tx, keys: &[FenceKey]) -> Result<Vec<Option<FenceState>>, Failure> {
        let placed = tx.placed.clone();
        let old = || keys.iter().zip(&placed).filter(|(_, placed)| !**placed).map(|(key, _)| key);
        let old_count = old().count();
        if old_count == 0 {
            return Ok(vec![None; keys.len()]);
        }
        let rows = fetch(tx, bind_keys(self.database.statement(fence::LOCK), old)).await?;
        if rows.len() != old_count {
            return Err(Failure::Unavailable("a fence row was deleted while it was read".into()));
        }
        let mut rows = rows.iter();
        let state = |placed: &bool| match placed {
            true => Ok(None),
            false => rows.next().map(read_state).transpose(),
        };
        placed.iter().map(state).collect()
    }

    /// Writes outcomes and replies, if `tx` is still the transaction that it was.
    async fn record(&self, tx: &mut Tx, writes: &[FenceWrite], lease: Duration) -> Result<(), Failure> {
        let statement = self.database.statement(fence::RECORD).bind(tx.xid.clone()).bind(micros(lease));
        let statement = bind_outcomes(statement, writes);
        let removed =
            || writes.iter().zip(&tx.placed).filter(|(write, placed)| **placed && write.state.is_none());
        let statement = bind_keys(statement, || removed().map(|(write, _)| &write.key));
        let statement = bind_rows(statement, || writes.iter().flat_map(|write| &write.reply));
        let rows = fetch(tx, statement).await?;
        match rows.is_empty() {
            false => Ok(()),
            true => Err(Failure::Permanent("a handler ended the transaction that it was given".into())),
        }
    }

    fn check_replies(&self, writes: &[FenceWrite]) -> Result<(), StoreError> {
        let replies = writes.iter().flat_map(|write| &write.reply);
        self.database.check_bodies(replies).map_err(StoreError::Rejected)
    }
}

#[async_trait]
impl Fence for PgFence {
    type Tx = Tx;

    async fn begin(&self, keys: &[FenceKey]) -> Result<(Tx, Vec<Option<FenceState>>), StoreError> {
        let mut tx = Tx::begin(&self.transactions, self.idle_max).await?;
        self.place(&mut tx, keys).await?;
        let states = self.lock(&mut tx, keys).await?;
        Ok((tx, states))
    }

    async fn savepoint(&self, tx: &mut Tx) -> Result<(), StoreError> {
        Ok(tx.savepoint().await?)
    }

    async fn rollback(&self, tx: &mut Tx) -> Result<(), StoreError> {
        Ok(tx.roll_back_to_savepoint().await?)
    }

    async fn commit(&self, mut tx: Tx, writes: &[FenceWrite], lease: Duration) -> Result<(), StoreError> {
        self.check_replies(writes)?;
        self.record(&mut tx, writes, lease).await?;
        self.watch_asked(&mut tx).await?;
        Ok(tx.commit().await?)
    }

    async fn count_runs(&self, keys: &[FenceKey]) -> Result<Vec<u32>, StoreError> {
        let statement = bind_keys(self.database.statement(fence_run::COUNT), || keys.iter());
        let rows = self.database.fetch(statement).await?;
        Ok(rows.iter().map(|row| read_count(row, "runs")).collect::<Result<_, _>>()?)
    }

    async fn forget_runs(&self, keys: &[FenceKey]) -> Result<(), StoreError> {
        let statement = bind_keys(self.database.statement(fence_run::FORGET), || keys.iter());
        self.database.fetch(statement).await?;
        Ok(())
    }

    fn began(&self, tx: &Tx) -> Timestamp {
        tx.began
    }
}

/// Runs one of the fence's own statements in a transaction that is not committed yet.
pub(crate) async fn fetch(tx: &mut Tx, statement: Statement) -> Result<Vec<PgRow>, Failure> {
    let answer = tx.lease().answer(|connection| statement.fetch_all(connection));
    answer.await.map_err(without_effect)
}

fn read_state(row: &PgRow) -> Result<FenceState, Failure> {
    let state = read::<&str>(row, "state")?;
    let payload = || {
        let bytes = read::<Option<Vec<u8>>>(row, "payload")?.unwrap_or_default();
        Payload::from_bytes(Bytes::from(bytes)).map_err(|error| Failure::Permanent(error.to_string()))
    };
    match state {
        "started" => Ok(FenceState::Started),
        "repeated" => Ok(FenceState::Repeated),
        "applied" => Ok(FenceState::Applied(payload()?)),
        "refused" => Ok(FenceState::Refused(payload()?)),
        "compensated" => Ok(FenceState::Compensated),
        "closed" => Ok(FenceState::Closed),
        unknown => Err(Failure::Permanent(format!("a fence row has the state {unknown:?}"))),
    }
}

fn payload(state: &FenceState) -> Option<&[u8]> {
    match state {
        FenceState::Applied(payload) | FenceState::Refused(payload) => Some(payload.as_bytes()),
        FenceState::Started | FenceState::Repeated | FenceState::Compensated | FenceState::Closed => None,
    }
}

fn bind_outcomes(statement: Statement, writes: &[FenceWrite]) -> Statement {
    let outcomes = || writes.iter().filter_map(|write| Some((&write.key, write.state.as_ref()?)));
    bind_keys(statement, || outcomes().map(|(key, _)| key))
        .bind(outcomes().map(|(_, state)| state.as_str()).bind_iter())
        .bind(outcomes().map(|(_, state)| payload(state)).bind_iter())
}

/// Binds keys as three arrays: sagas, steps, participants.
pub(crate) fn bind_keys<'a, I: Iterator<Item = &'a FenceKey>>(
    statement: Statement,
    keys: impl Fn() -> I,
) -> Statement {
    statement
        .bind(keys().map(|key| key.saga.as_uuid()).bind_iter())
        .bind(keys().map(|key| key.step.as_str()).bind_iter())
        .bind(keys().map(|key| key.participant.as_str()).bind_iter())
}
