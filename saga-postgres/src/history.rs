//! What operators see: the port `History`.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use saga_core::definition::DefinitionRef;
use saga_core::id::{BusinessKey, Direction, SagaId, SagaName, StepName};
use saga_core::policy::Timestamp;
use saga_core::port::{
    ArmedTimer, AwaitedSteps, History, JournalEntry, JournalLine, SagaDetails, SagaFilter, SagaSummary,
    StoreError, StoreHealth, UnknownDefinition, Workload,
};
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::error::{Failure, without_effect};
use crate::outbox::read_backlog;
use crate::row::{
    micros, micros_ago, read, read_count, read_definition, read_name, read_saga, read_status, read_time,
};
use crate::store::{PgStore, read_stored};
use crate::table::instance::{HEALTH, HOLDER, LIST, SHOW, WORKLOAD};

#[async_trait]
impl History for PgStore {
    async fn list(&self, filter: &SagaFilter, limit: usize) -> Result<Vec<SagaSummary>, StoreError> {
        let statement = self
            .database
            .statement(LIST)
            .bind(filter.name.as_ref().map(|name| name.as_str()))
            .bind(filter.status.map(|status| status.as_str()))
            .bind(filter.key.as_ref().map(|key| key.as_str()))
            .bind(filter.after.map(|saga| saga.as_uuid()))
            .bind(limit.min(PAGE_MAX) as i64)
            .bind(filter.older_than.map(micros))
            .bind(filter.younger_than.map(micros))
            .bind(filter.unmoved_for.map(micros))
            // Planned for its arguments: each combination of filters wants another index.
            .persistent(false);
        let rows = self.database.fetch(statement).await.map_err(without_effect)?;
        Ok(rows.iter().map(read_summary).collect::<Result<_, _>>()?)
    }

    async fn show(&self, saga: SagaId) -> Result<Option<SagaDetails>, StoreError> {
        let statement = self.database.statement(SHOW).bind(saga.as_uuid()).bind(PAGE_MAX as i64);
        let rows = self.database.fetch(statement).await.map_err(without_effect)?;
        Ok(read_details(saga, &rows)?)
    }

    async fn workload(&self) -> Result<Workload, StoreError> {
        let rows = self.database.fetch(self.database.statement(WORKLOAD)).await.map_err(without_effect)?;
        let mut workload = Workload::default();
        for row in &rows {
            read_workload(row, &mut workload)?;
        }
        Ok(workload)
    }

    async fn holder(&self, name: &SagaName, key: &BusinessKey) -> Result<Option<SagaId>, StoreError> {
        let statement = self.database.statement(HOLDER).bind(name.as_str()).bind(key.as_str());
        let rows = self.database.fetch(statement).await.map_err(without_effect)?;
        Ok(rows.first().map(|row| read_saga(row, "saga")).transpose()?)
    }

    async fn health(&self, known: &[DefinitionRef]) -> Result<StoreHealth, StoreError> {
        let rows = self.database.fetch(self.database.statement(HEALTH)).await.map_err(without_effect)?;
        let Some(first) = rows.first() else { return Ok(StoreHealth::default()) };
        let unfinished = rows.iter().map(read_unfinished).collect::<Result<Vec<_>, _>>()?;
        let is_unknown = |unfinished: &UnknownDefinition| !known.contains(&unfinished.definition);
        Ok(StoreHealth {
            outbox: read_backlog(first)?,
            oldest_waiting: read_oldest(first)?,
            unfinished: read_count(first, "going")?,
            parked: read_count(first, "parked")?,
            held: read_count(first, "held")?,
            unknown: unfinished.into_iter().flatten().filter(is_unknown).collect(),
        })
    }
}

fn read_summary(row: &PgRow) -> Result<SagaSummary, Failure> {
    let key = read::<Option<&str>>(row, "key")?.map(BusinessKey::new).transpose();
    Ok(SagaSummary {
        id: read_saga(row, "id")?,
        definition: read_definition(row)?,
        key: key.map_err(|error| Failure::Permanent(error.to_string()))?,
        parent: read_parent(row)?,
        status: read_status(row)?,
        version: read_count(row, "version")?,
        parked: read(row, "parked")?,
        started: read_time(row, "started")?,
        moved: read_time(row, "moved")?,
    })
}

fn read_parent(row: &PgRow) -> Result<Option<(SagaId, StepName)>, Failure> {
    match read::<Option<Uuid>>(row, "parent")? {
        Some(parent) => Ok(Some((SagaId::from_uuid(parent), read_name(row, "parent_step")?))),
        None => Ok(None),
    }
}

/// The saga in the first row, if it is the one that was asked for, and its children in the others.
fn read_details(saga: SagaId, rows: &[PgRow]) -> Result<Option<SagaDetails>, Failure> {
    let Some((row, children)) = rows.split_first() else { return Ok(None) };
    let summary = read_summary(row)?;
    if summary.id != saga {
        return Ok(None);
    }
    let stored = read_stored(row, saga)?;
    let journal = read::<Vec<JournalRow>>(row, "journal")?.into_iter().map(journal_line).collect();
    let timers = read::<Vec<TimerRow>>(row, "timers")?.into_iter().map(armed_timer);
    let timers = timers.collect::<Result<_, _>>()?;
    let children = children.iter().map(read_summary).collect::<Result<_, _>>()?;
    Ok(Some(SagaDetails { summary, stored, journal, timers, children }))
}

/// Step, direction, attempt, due.
type TimerRow = (String, String, i64, i64);

fn armed_timer((step, direction, attempt, due): TimerRow) -> Result<ArmedTimer, Failure> {
    Ok(ArmedTimer {
        step: StepName::new(step).map_err(|error| Failure::Permanent(error.to_string()))?,
        direction: direction.parse::<Direction>().map_err(|error| Failure::Permanent(error.to_string()))?,
        attempt: u32::try_from(attempt).map_err(|error| Failure::Permanent(error.to_string()))?,
        due: Timestamp::from_micros(due),
    })
}

/// Version, event, now, decision, at, writer.
type JournalRow = (i64, Vec<u8>, i64, String, i64, String);

fn journal_line((version, event, now, decision, at, writer): JournalRow) -> JournalLine {
    JournalLine {
        entry: JournalEntry {
            version: version.unsigned_abs(),
            event: Bytes::from(event),
            now: Timestamp::from_micros(now),
            decision,
        },
        at: Timestamp::from_micros(at),
        writer,
    }
}

fn read_workload(row: &PgRow, workload: &mut Workload) -> Result<(), Failure> {
    let count = read_count(row, "count")?;
    if read::<Option<&str>>(row, "name")?.is_none() {
        workload.unsent = count;
        return Ok(());
    }
    let definition = read_definition(row)?;
    match read::<Option<&str>>(row, "step")?.map(StepName::new) {
        None => workload.sagas.push((definition, count)),
        Some(step) => {
            let step = step.map_err(|error| Failure::Permanent(error.to_string()))?;
            let repeated = read_count(row, "repeated")?;
            workload.awaited.push(AwaitedSteps { definition, step, count, repeated });
        }
    }
    Ok(())
}

fn read_oldest(row: &PgRow) -> Result<Option<(SagaId, Duration)>, Failure> {
    let Some(saga) = read::<Option<Uuid>>(row, "oldest_saga")? else { return Ok(None) };
    Ok(Some((SagaId::from_uuid(saga), micros_ago(read(row, "waiting")?))))
}

fn read_unfinished(row: &PgRow) -> Result<Option<UnknownDefinition>, Failure> {
    let Some(unfinished) = read::<Option<i64>>(row, "unfinished")? else { return Ok(None) };
    let unfinished = unfinished.unsigned_abs();
    Ok(Some(UnknownDefinition { definition: read_definition(row)?, unfinished }))
}

/// What the port promises as the longest page.
const PAGE_MAX: usize = 1_000;
