//! Keeping and forgetting: the ports `Retire` and `Forget`.

use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use async_trait::async_trait;
use saga_core::definition::DefinitionRef;
use saga_core::id::{ParticipantName, SagaId};
use saga_core::port::{Forget, Retire, Retiring, StoreError, end_notices};
use sqlx::postgres::{PgBindIterExt, PgRow};

use crate::commit_arguments::bind_rows;
use crate::error::Failure;
use crate::fence::{PgFence, fetch};
use crate::pool::Statement;
use crate::row::{micros, read, read_saga, unreadable};
use crate::store::PgStore;
use crate::table::{archive, fence};
use crate::transaction::Tx;

/// A saga that is to be retired, and who hears of it.
struct Ended {
    saga: SagaId,
    participants: Vec<ParticipantName>,
    /// When it ended, or its parent: in microseconds since 1970.
    since: i64,
}

#[async_trait]
impl Retire for PgStore {
    async fn note_participants(
        &self,
        participants: &[(DefinitionRef, Vec<ParticipantName>)],
    ) -> Result<(), StoreError> {
        for (definition, participants) in participants {
            let statement = self
                .database
                .statement(archive::NOTE_PARTICIPANTS)
                .bind(definition.name.as_str())
                .bind(i64::from(definition.version))
                .bind(definition.fingerprint.as_uuid())
                .bind(participants.iter().map(ParticipantName::as_str).bind_iter());
            self.database.fetch(statement).await?;
        }
        Ok(())
    }

    async fn retire(&self, retiring: Retiring) -> Result<usize, StoreError> {
        let mut tx = Tx::begin(self.database.pool(), IDLE_MAX).await?;
        let (from, limit) = (&self.database.retired_until, retiring.limit);
        let statement = self.lock_ended(archive::LOCK_ENDED, &retiring, from, limit);
        let mut ended = read_ended(&fetch(&mut tx, statement).await?)?;
        let next = next_from(&ended, limit);
        let mut next_children = None;
        if ended.len() < limit {
            let (from, limit) = (&self.database.children_retired_until, limit - ended.len());
            let statement = self.lock_ended(archive::LOCK_ENDED_CHILDREN, &retiring, from, limit);
            let children = read_ended(&fetch(&mut tx, statement.bind(micros(retiring.horizon))).await?)?;
            next_children = Some(next_from(&children, limit));
            ended.extend(children);
        }
        if !ended.is_empty() {
            self.take_out(tx, &ended, retiring.archive).await?;
        }
        self.database.retired_until.store(next, Relaxed);
        if let Some(next) = next_children {
            self.database.children_retired_until.store(next, Relaxed);
        }
        Ok(ended.len())
    }
}

impl PgStore {
    fn lock_ended(
        &self,
        statement: &'static str,
        retiring: &Retiring,
        from: &AtomicI64,
        limit: usize,
    ) -> Statement {
        let statement = self.database.statement(statement).bind(micros(retiring.ended_for));
        statement.bind(from.load(Relaxed)).bind(limit as i64)
    }

    async fn take_out(&self, mut tx: Tx, ended: &[Ended], archive: bool) -> Result<(), StoreError> {
        let notices = end_notices(ended.iter().map(|ended| (ended.saga, &ended.participants)));
        let sagas = ended.iter().map(|ended| ended.saga.as_uuid()).bind_iter();
        let statement = self.database.statement(archive::RETIRE).bind(sagas).bind(archive);
        fetch(&mut tx, bind_rows(statement, || notices.iter())).await?;
        Ok(tx.commit().await?)
    }
}

fn read_ended(rows: &[PgRow]) -> Result<Vec<Ended>, Failure> {
    let ended = |row: &PgRow| {
        let participants = read::<Vec<String>>(row, "participants")?.into_iter().map(ParticipantName::new);
        Ok(Ended {
            saga: read_saga(row, "id")?,
            participants: participants
                .collect::<Result<_, _>>()
                .map_err(|error| unreadable("participants", &error))?,
            since: read(row, "since")?,
        })
    };
    rows.iter().map(ended).collect()
}

/// Where the next batch begins: behind a full one, and at the beginning once none were left.
fn next_from(ended: &[Ended], limit: usize) -> i64 {
    ended.last().filter(|_| ended.len() == limit).map_or(0, |last| last.since)
}

#[async_trait]
impl Forget for PgFence {
    async fn note_ended(&self, participant: &ParticipantName, sagas: &[SagaId]) -> Result<(), StoreError> {
        let mut sagas: Vec<_> = sagas.iter().map(SagaId::as_uuid).collect();
        sagas.sort_unstable();
        let statement = self.database.statement(fence::NOTE_ENDED).bind(participant.as_str()).bind(sagas);
        self.database.fetch(statement).await?;
        Ok(())
    }

    async fn forget(
        &self,
        participant: &ParticipantName,
        horizon: Duration,
        limit: usize,
    ) -> Result<usize, StoreError> {
        let statement = self
            .database
            .statement(fence::FORGET)
            .bind(participant.as_str())
            .bind(micros(horizon))
            .bind(limit as i64);
        let rows = self.database.fetch(statement).await?;
        Ok(rows.first().map(|row| read::<i64>(row, "forgotten")).transpose()?.unwrap_or_default() as usize)
    }
}

/// Nothing is waited for between these statements.
const IDLE_MAX: Duration = Duration::from_secs(10);
