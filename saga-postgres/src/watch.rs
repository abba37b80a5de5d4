//! Looking after calls that may land behind their row: the port `Watch`.

use std::time::Duration;

use async_trait::async_trait;
use saga_core::fence::FenceKey;
use saga_core::id::{CommandType, ParticipantName, StepName};
use saga_core::port::{Look, StoreError, Watch};
use sqlx::postgres::{PgBindIterExt, PgRow};

use crate::error::Failure;
use crate::fence::{PgFence, bind_keys, fetch};
use crate::row::{micros, micros_ago, read, read_count, read_saga, unreadable};
use crate::table::watch;
use crate::transaction::Tx;

/// What a transaction is to watch once its outcomes are written.
pub(crate) struct Asked {
    key: FenceKey,
    command: CommandType,
    pause: Duration,
}

impl PgFence {
    /// Has the rows watched that the transaction was asked to. They say what they say by now.
    pub(crate) async fn watch_asked(&self, tx: &mut Tx) -> Result<(), Failure> {
        let asked = std::mem::take(&mut tx.asked);
        if asked.is_empty() {
            return Ok(());
        }
        let statement =
            bind_keys(self.database.statement(watch::WATCH), || asked.iter().map(|asked| &asked.key))
                .bind(asked.iter().map(|asked| asked.command.as_str()).bind_iter())
                .bind(asked.iter().map(|asked| micros(asked.pause)).bind_iter());
        fetch(tx, statement).await?;
        Ok(())
    }
}

#[async_trait]
impl Watch for PgFence {
    async fn watch(
        &self,
        tx: &mut Tx,
        key: &FenceKey,
        command: &CommandType,
        pause: Duration,
    ) -> Result<(), StoreError> {
        tx.asked.push(Asked { key: key.clone(), command: command.clone(), pause });
        Ok(())
    }

    async fn claim_looks(
        &self,
        participant: &ParticipantName,
        limit: usize,
        lease: Duration,
    ) -> Result<Vec<Look>, StoreError> {
        let statement = self
            .database
            .statement(watch::CLAIM)
            .bind(participant.as_str())
            .bind(limit as i64)
            .bind(micros(lease));
        let rows = self.database.fetch(statement).await?;
        Ok(rows.iter().map(|row| read_look(row, participant)).collect::<Result<_, _>>()?)
    }

    async fn watched(&self, participant: &ParticipantName) -> Result<u64, StoreError> {
        let statement = self.database.statement(watch::COUNT).bind(participant.as_str());
        let rows = self.database.fetch(statement).await?;
        Ok(rows.first().map(|row| read::<i64>(row, "watched")).transpose()?.unwrap_or_default() as u64)
    }

    async fn looked(&self, looks: &[(FenceKey, Option<Duration>)]) -> Result<(), StoreError> {
        let statement =
            bind_keys(self.database.statement(watch::LOOKED), || looks.iter().map(|(key, _)| key))
                .bind(looks.iter().map(|(_, pause)| pause.map(micros)).bind_iter());
        self.database.fetch(statement).await?;
        Ok(())
    }
}

fn read_look(row: &PgRow, participant: &ParticipantName) -> Result<Look, Failure> {
    let step = StepName::new(read::<&str>(row, "step")?).map_err(|error| unreadable("step", &error))?;
    let command = CommandType::new(read::<&str>(row, "watched")?);
    Ok(Look {
        key: FenceKey { participant: participant.clone(), saga: read_saga(row, "saga")?, step },
        command: command.map_err(|error| unreadable("watched", &error))?,
        watched_for: micros_ago(read(row, "watched_for")?),
        claims: read_count(row, "look_claims")?,
    })
}
