//! The orchestrator's side: the ports `Store` and `StartIn`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use saga_core::definition::DefinitionRef;
use saga_core::id::{Direction, SagaId, StepName};
use saga_core::policy::Timestamp;
use saga_core::port::{
    Commit, CommitError, Committed, HeldId, HeldReply, Loaded, RunIn, StartIn, Store, StoreError, Stored,
    TimerDue,
};
use sqlx::PgConnection;
use sqlx::postgres::{PgBindIterExt, PgRow};

use crate::commit::Call;
use crate::config::Config;
use crate::database::Database;
use crate::error::{Failure, without_effect};
use crate::pool::Pool;
use crate::register::register;
use crate::row::{
    bind_definitions, headers_column, micros, read, read_bytes, read_count, read_definition, read_envelope,
    read_name, read_now, read_saga, read_status, taken,
};
use crate::table::{held, instance, timer};
use crate::transaction::Tx;

/// The orchestrator's database: sagas, their journal, their commands and their timers. Cheap to clone.
///
/// It is a [`Store`], a [`StartIn`] for any sqlx transaction or connection, an [`Outbox`](saga_core::port::Outbox)
/// and a [`History`](saga_core::port::History).
#[derive(Clone)]
pub struct PgStore {
    pub(crate) database: Arc<Database>,
    transactions: Arc<Pool>,
    idle_max: Duration,
}

impl PgStore {
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
        Ok(PgStore {
            database: Database::connect(config).await?,
            transactions: Pool::for_transactions(config),
            idle_max: config.transaction_idle_max,
        })
    }
}

#[async_trait]
impl Store for PgStore {
    async fn register(&self, definitions: &[DefinitionRef]) -> Result<(), StoreError> {
        register(&self.database, definitions).await
    }

    async fn load(&self, sagas: &[SagaId]) -> Result<Loaded, StoreError> {
        let ids = sagas.iter().map(SagaId::as_uuid);
        let statement = self.database.statement(instance::LOAD).bind(ids.bind_iter());
        let rows = self.database.fetch(statement).await.map_err(without_effect)?;
        Ok(read_loaded(&rows)?)
    }

    async fn commit(&self, batch: &[Commit], lease: Duration) -> Vec<Result<Committed, CommitError>> {
        Call::new(&self.database, lease).store(batch).await
    }

    async fn due_timers(
        &self,
        known: &[DefinitionRef],
        limit: usize,
        lease: Duration,
        grace: Duration,
    ) -> Result<Vec<TimerDue>, StoreError> {
        let search = self.database.timers.begin(known);
        let statement = bind_definitions(self.database.statement(timer::TAKE_DUE), known)
            .bind(limit as i64)
            .bind(micros(lease))
            .bind(search.from())
            .bind(micros(grace));
        let rows = self.database.fetch(statement).await?;
        let taken = taken(&rows, "saga")?.map(read_timer).collect::<Result<Vec<_>, _>>()?;
        search.end(read_now(&rows)?, taken.len() < limit);
        Ok(taken.into_iter().flatten().collect())
    }

    async fn hold(&self, replies: &[HeldReply]) -> Result<(), StoreError> {
        let envelopes = || replies.iter().map(|reply| &reply.envelope);
        let statement = self
            .database
            .statement(held::KEEP)
            .bind(replies.iter().map(|reply| reply.id.0).bind_iter())
            .bind(replies.iter().map(|reply| reply.saga.as_uuid()).bind_iter())
            .bind(envelopes().map(|envelope| envelope.id.as_uuid()).bind_iter())
            .bind(envelopes().map(|envelope| envelope.destination.as_str()).bind_iter())
            .bind(envelopes().map(|envelope| envelope.key.as_uuid()).bind_iter())
            .bind(envelopes().map(|envelope| headers_column(&envelope.headers)).bind_iter())
            .bind(envelopes().map(|envelope| envelope.body.as_ref()).bind_iter());
        match self.database.fetch(statement).await {
            Ok(_) => Ok(()),
            // A missing right or table says nothing of the replies.
            Err(Failure::Permanent(why)) => Err(StoreError::Unavailable(why)),
            Err(failure) => Err(failure.into()),
        }
    }

    async fn held(&self, known: &[DefinitionRef], limit: usize) -> Result<Vec<HeldReply>, StoreError> {
        let statement = bind_definitions(self.database.statement(held::READ), known);
        let rows = self.database.fetch(statement.bind(limit as i64)).await.map_err(without_effect)?;
        Ok(rows.iter().map(read_held).collect::<Result<_, _>>()?)
    }

    async fn drop_held(&self, replies: &[HeldId]) -> Result<(), StoreError> {
        let ids = replies.iter().map(|reply| reply.0).bind_iter();
        self.database.fetch(self.database.statement(held::DROP).bind(ids)).await?;
        Ok(())
    }

    async fn note_ended(&self, parents: &[SagaId]) -> Result<(), StoreError> {
        let ids = parents.iter().map(SagaId::as_uuid).bind_iter();
        self.database.fetch(self.database.statement(instance::NOTE_PARENT_ENDED).bind(ids)).await?;
        Ok(())
    }
}

#[async_trait]
impl RunIn for PgStore {
    type Tx = Tx;

    async fn begin_work(&self) -> Result<Tx, StoreError> {
        let mut tx = Tx::begin(&self.transactions, self.idle_max).await?;
        tx.xid = self.transaction_id(&mut tx).await?;
        Ok(tx)
    }

    async fn savepoint(&self, tx: &mut Tx) -> Result<(), StoreError> {
        Ok(tx.savepoint().await?)
    }

    async fn rollback(&self, tx: &mut Tx) -> Result<(), StoreError> {
        Ok(tx.roll_back_to_savepoint().await?)
    }

    async fn finish(&self, mut tx: Tx, moves: &[Commit]) -> Result<(), CommitError> {
        if self.transaction_id(&mut tx).await? != tx.xid {
            let why = "a handler ended the transaction that it was given";
            return Err(StoreError::Rejected(why.into()).into());
        }
        // No lease: nobody holds these rows in memory.
        Call::new(&self.database, Duration::ZERO).move_in(&mut tx, moves).await?;
        Ok(tx.commit().await.map_err(StoreError::from)?)
    }
}

impl PgStore {
    /// Which transaction this is. Another one, if a handler has ended the one that it was given.
    async fn transaction_id(&self, tx: &mut Tx) -> Result<String, StoreError> {
        let asked = self.database.statement(instance::TRANSACTION);
        let row = tx.lease().answer(|connection| asked.fetch_one(connection)).await;
        Ok(row.and_then(|row| read(&row, "xid")).map_err(without_effect)?)
    }
}

#[async_trait]
impl StartIn for PgStore {
    type Tx = PgConnection;

    async fn now_in(&self, tx: &mut PgConnection) -> Result<Timestamp, StoreError> {
        let statement = self.database.statement(instance::LOAD).bind(Vec::<uuid::Uuid>::new());
        let rows = statement.fetch_all(tx).await.map_err(|error| without_effect(error.into()))?;
        Ok(read_now(&rows)?)
    }

    async fn start_in(&self, tx: &mut PgConnection, start: &Commit) -> Result<Committed, CommitError> {
        // No lease: nobody holds these rows in memory before the caller has committed.
        Call::new(&self.database, Duration::ZERO).start_in(tx, start).await
    }
}

fn read_loaded(rows: &[PgRow]) -> Result<Loaded, Failure> {
    let stored = |row| read_stored(row, read_saga(row, "id")?);
    Ok(Loaded { now: read_now(rows)?, sagas: taken(rows, "id")?.map(stored).collect::<Result<_, _>>()? })
}

/// A row of `instance` with its definition.
pub(crate) fn read_stored(row: &PgRow, id: SagaId) -> Result<Stored, Failure> {
    Ok(Stored {
        id,
        definition: read_definition(row)?,
        version: read_count(row, "version")?,
        status: read_status(row)?,
        state: read_bytes(row, "state")?,
        data: read_bytes(row, "data")?,
        parked: read(row, "parked")?,
    })
}

/// The timer, unless it was put off.
fn read_timer(row: &PgRow) -> Result<Option<TimerDue>, Failure> {
    if read(row, "is_put_off")? {
        return Ok(None);
    }
    let direction = read::<&str>(row, "direction")?.parse::<Direction>();
    Ok(Some(TimerDue {
        saga: read_saga(row, "saga")?,
        step: read_name::<StepName>(row, "step")?,
        direction: direction.map_err(|error| Failure::Permanent(error.to_string()))?,
        attempt: read_count(row, "attempt")?,
    }))
}

fn read_held(row: &PgRow) -> Result<HeldReply, Failure> {
    Ok(HeldReply {
        id: HeldId(read(row, "id")?),
        saga: read_saga(row, "saga")?,
        envelope: read_envelope(row)?,
    })
}
