//! Keeping and forgetting: ended sagas leave the store, and fence rows follow them.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use crate::definition::DefinitionRef;
use crate::id::{Destination, ParticipantName, SagaId};
use crate::message::EndNotice;
use crate::port::{Fence, OutboxRow, RowId, Store, StoreError};

/// Which ended sagas are retired, and what becomes of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retiring {
    /// How long ago they ended, at least.
    pub ended_for: Duration,
    /// Whether they go to the archive, with their journals. Otherwise nothing but their business keys is left.
    pub archive: bool,
    /// How long after the notice of its parent's end a saga stays, at least, that was run as a step: its row stands for a
    /// fence row, and so outlives every copy of the command that began it.
    pub horizon: Duration,
    /// How many at most.
    pub limit: usize,
}

/// A store that ended sagas can leave.
///
/// # Contract
///
/// - **Only what has ended** is retired: sagas whose status is terminal, for as long as was asked for, by the
///   database's clock. The longest ended come first, and after them those that were run as steps.
/// - **No notice, no retirement** of a saga that was run as a step of another one: it stays until the notice of its
///   parent's end ([`Store::note_ended`]) is older than the [`horizon`](Retiring::horizon). One that its parent took back
///   before it began was ended by its first transition; nothing can begin it but a command that was sent before that, so it
///   stays for the horizon after its end.
/// - **Atomicity**: a saga goes with its journal and its held replies, in the transaction that stores the notices of
///   its end for every participant of its definition, as [`end_notices`] in the outbox.
/// - **A saga is retired once**, however many workers do so; none waits for another.
/// - **A definition whose participants were never noted** keeps its sagas: nobody could be told of their end.
/// - **Business keys stay**, and still lead to their sagas.
/// - **An archived saga** is still found by [`History::show`](crate::port::History::show), and by nothing else.
/// - **A dropped future** may or may not have had its effect.
#[async_trait]
pub trait Retire: Store {
    /// Notes who takes commands of these registered definitions. What was noted before stays.
    async fn note_participants(
        &self,
        participants: &[(DefinitionRef, Vec<ParticipantName>)],
    ) -> Result<(), StoreError>;

    /// Retires a batch of ended sagas, and returns how many; fewer than the limit say that there are no more for now.
    async fn retire(&self, retiring: Retiring) -> Result<usize, StoreError>;
}

/// A fence that forgets sagas that have ended.
///
/// # Contract
///
/// - **No notice, no deletion**: a row is deleted only when the last notice of its saga's end is older than the
///   horizon, by the database's clock.
/// - **A notice concerns the rows that are there**, all of the saga's rows of this participant. One for other rows,
///   or for none, does nothing.
/// - **A row that a transaction works on** is not waited for; it is deleted later.
/// - **Counted runs** go with their row.
#[async_trait]
pub trait Forget: Fence {
    /// Notes at the rows of a participant that their sagas have ended.
    async fn note_ended(&self, participant: &ParticipantName, sagas: &[SagaId]) -> Result<(), StoreError>;

    /// Deletes up to `limit` rows of a participant whose sagas were noted as ended longer than `horizon` ago, and
    /// returns how many; fewer than the limit say that there are no more for now.
    async fn forget(
        &self,
        participant: &ParticipantName,
        horizon: Duration,
        limit: usize,
    ) -> Result<usize, StoreError>;
}

/// The outbox rows that tell participants which sagas have ended: for each saga those who take its commands.
///
/// A saga is retired once, so a row's id can be derived: from the first saga that it tells of, and whom it tells.
pub fn end_notices<'a>(
    ended: impl IntoIterator<Item = (SagaId, impl IntoIterator<Item = &'a ParticipantName>)>,
) -> Vec<OutboxRow> {
    let mut told: BTreeMap<&ParticipantName, Vec<SagaId>> = BTreeMap::new();
    for (saga, participants) in ended {
        for participant in participants {
            told.entry(participant).or_default().push(saga);
        }
    }
    let notices = |(participant, sagas): (&ParticipantName, Vec<SagaId>)| {
        let rows = EndNotice::of(&sagas).map(|notice| row(&notice, participant));
        rows.collect::<Vec<_>>()
    };
    told.into_iter().flat_map(notices).collect()
}

fn row(notice: &EndNotice, participant: &ParticipantName) -> OutboxRow {
    let envelope = notice.encode(Destination::of(participant));
    let id = Uuid::new_v5(&envelope.id.as_uuid(), participant.as_str().as_bytes());
    OutboxRow { id: RowId::from_uuid(id), envelope, claimed: false }
}
