//! How ended sagas leave the store in memory.

use async_trait::async_trait;

use super::MemoryStore;
use super::tables::{Saga, Tables};
use crate::definition::DefinitionRef;
use crate::id::{ParticipantName, SagaId};
use crate::policy::Timestamp;
use crate::port::{Retire, Retiring, Status, StoreError, end_notices};

#[async_trait]
impl Retire for MemoryStore {
    async fn note_participants(
        &self,
        participants: &[(DefinitionRef, Vec<ParticipantName>)],
    ) -> Result<(), StoreError> {
        let noted = &mut self.tables.lock().await.participants;
        for (definition, participants) in participants {
            noted.entry(definition.clone()).or_default().extend(participants.iter().cloned());
        }
        Ok(())
    }

    async fn retire(&self, retiring: Retiring) -> Result<usize, StoreError> {
        let mut tables = self.tables.lock().await;
        let now = self.clock.now();
        Ok(tables.retire(retiring, now))
    }
}

impl Tables {
    fn retire(&mut self, retiring: Retiring, now: Timestamp) -> usize {
        let ended = self.ended(retiring, now);
        let notices =
            end_notices(ended.iter().map(|(id, saga)| (*id, &self.participants[&saga.stored.definition])));
        self.outbox.insert(notices.iter(), std::time::Duration::ZERO, now);
        self.held.retain(|_, reply| !ended.iter().any(|(id, _)| *id == reply.saga));
        for (id, _) in &ended {
            self.sagas.remove(id);
        }
        let count = ended.len();
        if retiring.archive {
            // One that had left before was begun again only to say that it is not there.
            for (id, saga) in ended {
                self.archive.entry(id).or_insert(saga);
            }
        }
        count
    }

    /// The sagas that are to be retired, the longest ended first, and after them those that were run as steps.
    fn ended(&self, retiring: Retiring, now: Timestamp) -> Vec<(SagaId, Saga)> {
        let is_ended =
            |saga: &Saga| saga.stored.status.is_terminal() && now.since(saga.moved) >= retiring.ended_for;
        let is_noted = |saga: &Saga| self.participants.contains_key(&saga.stored.definition);
        let past = |when: Timestamp| now.since(when) >= retiring.horizon;
        // A saga that was run as a step stands in for a fence row of its parent's.
        let is_wanted = |saga: &Saga| {
            let never_began = saga.stored.version == 1 && saga.stored.status == Status::Compensated;
            let is_free = saga.parent_ended.is_some_and(past) || never_began && past(saga.moved);
            saga.parent.is_some() && !is_free
        };
        let may_go = |saga: &Saga| is_ended(saga) && is_noted(saga) && !is_wanted(saga);
        let ended = self.sagas.iter().filter(|(_, saga)| may_go(saga));
        let mut ended: Vec<_> = ended.map(|(id, saga)| (*id, saga.clone())).collect();
        ended.sort_by_key(|(_, saga)| (saga.parent.is_some(), saga.moved));
        ended.truncate(retiring.limit);
        ended
    }
}
