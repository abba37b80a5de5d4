//! What is forgotten, and when: S12.

use saga_core::fence::FenceKey;
use saga_core::id::{ParticipantName, SagaId};
use saga_core::message::{COMMAND_VALID, EndNotice, Envelope};
use saga_core::policy::Timestamp;

use super::Witness;
use crate::simulate::counters::{Counters, Seen};

impl Witness {
    /// S12: nobody is told of an end that was none.
    pub(super) fn telling_ends(&mut self, notice: &EndNotice) {
        for saga in notice.sagas() {
            if !self.status(*saga).is_some_and(|status| status.is_terminal()) {
                self.violation(format!("S12: the end of {saga} is told, and it is {:?}", self.status(*saga)));
            }
        }
    }

    pub(in crate::simulate) fn noted_ended(
        &mut self,
        participant: &ParticipantName,
        sagas: &[SagaId],
        now: Timestamp,
    ) {
        self.ends.extend(sagas.iter().map(|saga| ((participant.clone(), *saga), now)));
    }

    pub(in crate::simulate) fn noted_parents_ended(&mut self, parents: &[SagaId], now: Timestamp) {
        self.parents_ended.extend(parents.iter().map(|parent| (*parent, now)));
    }

    /// The rows of a participant, as far as they were not deleted yet.
    pub(in crate::simulate) fn fence_keys(&self, participant: &ParticipantName) -> Vec<FenceKey> {
        let keys = self.fences.keys().filter(|key| key.participant == *participant);
        keys.filter(|key| !self.forgotten.contains(*key)).cloned().collect()
    }

    /// S12: no row is deleted before its saga's end was told, and no command of it can be run any more.
    pub(in crate::simulate) fn forgotten(&mut self, key: FenceKey, now: Timestamp, counters: &mut Counters) {
        let FenceKey { participant, saga, step } = &key;
        let noted = self.ends.get(&(participant.clone(), *saga)).map(|noted| now.since(*noted));
        if noted.is_none_or(|noted| noted < COMMAND_VALID) {
            self.violation(format!(
                "S12: {participant} forgets {step} of {saga}, whose end was noted {noted:?} ago"
            ));
        }
        counters.count(Seen::FenceForgotten);
        self.forgotten.insert(key);
    }

    /// The rows that are still there although the end of their saga was noted.
    pub(in crate::simulate) fn unforgotten(&self) -> Vec<FenceKey> {
        let is_noted = |key: &&FenceKey| self.ends.contains_key(&(key.participant.clone(), key.saga));
        let kept = self.fences.keys().filter(|key| !self.forgotten.contains(*key));
        kept.filter(is_noted).cloned().collect()
    }

    /// S14 for notices.
    pub(super) fn why_notice_not_acked(
        &self,
        envelope: &Envelope,
        notice: &EndNotice,
    ) -> Option<&'static str> {
        let participant = ParticipantName::new(envelope.destination.as_str()).ok()?;
        let runs_sagas = self.runs_sagas(&participant);
        let is_noted = |saga: &SagaId| match runs_sagas {
            true => self.parents_ended.contains_key(saga),
            false => self.ends.contains_key(&(participant.clone(), *saga)),
        };
        (!notice.sagas().iter().all(is_noted)).then_some("not all of it was noted")
    }
}
