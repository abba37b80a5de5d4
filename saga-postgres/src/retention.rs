//! Keeping and forgetting: the ports `Retire` and `Forget`.

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
use crate::row::{micros, read, read_saga, unreadable};
use crate::store::PgStore;
use crate::table::{archive, fence};
use crate::transaction::Tx;

/// A saga that is to be retired, and who hears of it.
struct Ended {
    saga: SagaId,
    participants: Vec<ParticipantName>,
    at: i64,
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
        let statement = self
            .database
            .statement(archive::LOCK_ENDED)
            .bind(micros(retiring.ended_for))
            .bind(self.database.retired_until.load(Relaxed))
            .bind(retiring.limit as i64)
            .bind(micros(retiring.horizon));
        let rows = fetch(&mut tx, statement).await?;
        let ended = rows.iter().map(read_ended).collect::<Result<Vec<_>, _>>()?;
        if !ended.is_empty() {
            self.take_out(tx, &ended, retiring.archive).await?;
        }
        let more = ended.last().filter(|_| ended.len() == retiring.limit);
        self.database.retired_until.store(more.map_or(0, |last| last.at), Relaxed);
        Ok(ended.len())
    }
}

impl PgStore {
    async fn take_out(&self, mut tx: Tx, ended: &[Ended], archive: bool) -> Result<(), StoreError> {
        let notices = end_notices(ended.iter().map(|ended| (ended.saga, &ended.participants)));
        let sagas = ended.iter().map(|ended| ended.saga.as_uuid()).bind_iter();
        let statement = self.database.statement(archive::RETIRE).bind(sagas).bind(archive);
        fetch(&mut tx, bind_rows(statement, || notices.iter())).await?;
        Ok(tx.commit().await?)
    }
}

fn read_ended(row: &PgRow) -> Result<Ended, Failure> {
    let participants = read::<Vec<String>>(row, "participants")?.into_iter().map(ParticipantName::new);
    Ok(Ended {
        saga: read_saga(row, "id")?,
        participants: participants
            .collect::<Result<_, _>>()
            .map_err(|error| unreadable("participants", &error))?,
        at: read(row, "ended")?,
    })
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
