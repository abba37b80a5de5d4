//! What operators see of the store in memory.

use std::collections::BTreeMap;
use std::ops::Bound;

use async_trait::async_trait;

use super::MemoryStore;
use super::tables::{Saga, Tables};
use crate::definition::DefinitionRef;
use crate::id::{BusinessKey, SagaId, SagaName};
use crate::policy::Timestamp;
use crate::port::{
    History, SagaDetails, SagaFilter, SagaSummary, Status, StoreError, StoreHealth, UnknownDefinition,
    Workload,
};

#[async_trait]
impl History for MemoryStore {
    async fn list(&self, filter: &SagaFilter, limit: usize) -> Result<Vec<SagaSummary>, StoreError> {
        let tables = self.tables.lock().await;
        let now = self.clock.now();
        let before = filter.after.map_or(Bound::Unbounded, Bound::Excluded);
        let newest_first = tables.sagas.range((Bound::Unbounded, before)).rev();
        Ok(newest_first
            .map(|(_, saga)| saga)
            .filter(|saga| shows(filter, saga, now))
            .take(limit.min(PAGE_MAX))
            .map(Saga::summary)
            .collect())
    }

    async fn show(&self, saga: SagaId) -> Result<Option<SagaDetails>, StoreError> {
        let tables = self.tables.lock().await;
        let saga = tables.sagas.get(&saga).or_else(|| tables.archive.get(&saga));
        Ok(saga.map(|saga| SagaDetails {
            summary: saga.summary(),
            stored: saga.stored.clone(),
            journal: saga.journal.clone(),
            timers: tables.timers_of(saga.stored.id),
            children: tables.children(saga.stored.id),
        }))
    }

    async fn workload(&self) -> Result<Workload, StoreError> {
        Ok(self.tables.lock().await.workload(self.clock.now()))
    }

    async fn holder(&self, name: &SagaName, key: &BusinessKey) -> Result<Option<SagaId>, StoreError> {
        let tables = self.tables.lock().await;
        Ok(tables.keys.get(&(name.clone(), key.clone())).map(|(saga, _)| *saga))
    }

    async fn health(&self, known: &[DefinitionRef]) -> Result<StoreHealth, StoreError> {
        let tables = self.tables.lock().await;
        Ok(tables.health(known, self.clock.now()))
    }
}

fn shows(filter: &SagaFilter, saga: &Saga, now: Timestamp) -> bool {
    let stored = &saga.stored;
    let wanted_name = filter.name.as_ref().is_none_or(|name| *name == stored.definition.name);
    let wanted_status = filter.status.is_none_or(|status| status == stored.status);
    let wanted_key = filter.key.is_none() || filter.key == saga.key;
    let (age, unmoved) = (now.since(saga.started), now.since(saga.moved));
    let wanted_age = filter.older_than.is_none_or(|least| age >= least)
        && filter.younger_than.is_none_or(|most| age < most)
        && filter.unmoved_for.is_none_or(|least| unmoved >= least && !stored.status.is_terminal());
    wanted_name && wanted_status && wanted_key && wanted_age
}

impl Saga {
    fn summary(&self) -> SagaSummary {
        SagaSummary {
            id: self.stored.id,
            definition: self.stored.definition.clone(),
            key: self.key.clone(),
            parent: self.parent.clone(),
            status: self.stored.status,
            version: self.stored.version,
            parked: self.stored.parked.clone(),
            started: self.started,
            moved: self.moved,
        }
    }
}

impl Tables {
    fn children(&self, parent: SagaId) -> Vec<SagaSummary> {
        let is_child = |saga: &&Saga| saga.parent.as_ref().is_some_and(|(saga, _)| *saga == parent);
        let mut children: Vec<&Saga> =
            self.sagas.values().chain(self.archive.values()).filter(is_child).collect();
        children.sort_unstable_by_key(|child| child.stored.id);
        children.into_iter().take(PAGE_MAX).map(Saga::summary).collect()
    }

    fn health(&self, known: &[DefinitionRef], now: Timestamp) -> StoreHealth {
        let (parked, going): (Vec<_>, Vec<_>) =
            self.unfinished().partition(|saga| saga.stored.status == Status::Parked);
        // A saga that is through waits for its parent, and for nothing of its own.
        let waiting = going.iter().filter(|saga| saga.stored.status != Status::Provisional);
        let oldest = waiting.min_by_key(|saga| saga.moved);
        StoreHealth {
            outbox: self.outbox.backlog(now),
            oldest_waiting: oldest.map(|saga| (saga.stored.id, now.since(saga.moved))),
            unfinished: going.len() as u64,
            parked: parked.len() as u64,
            held: self.held.len() as u64,
            unknown: self.unknown(known),
        }
    }

    fn workload(&self, now: Timestamp) -> Workload {
        let mut sagas = BTreeMap::new();
        for saga in self.unfinished().filter(|saga| saga.stored.status != Status::Parked) {
            *sagas.entry(saga.stored.definition.clone()).or_default() += 1;
        }
        let unsent = self.outbox.backlog(now).unsent;
        Workload { sagas: sagas.into_iter().collect(), awaited: self.awaited(), unsent }
    }

    fn unknown(&self, known: &[DefinitionRef]) -> Vec<UnknownDefinition> {
        let mut counts = BTreeMap::new();
        for saga in self.unfinished() {
            *counts.entry(&saga.stored.definition).or_default() += 1;
        }
        counts.retain(|definition, _| !known.contains(definition));
        counts
            .into_iter()
            .map(|(definition, unfinished)| UnknownDefinition { definition: definition.clone(), unfinished })
            .collect()
    }
}

/// What the port promises as the longest page.
const PAGE_MAX: usize = 1_000;
