//! Bugs that are planted on purpose, to see that they are found: each at a port, between a runtime and its adapter, so
//! that no line of the runtimes has to know of it.

use saga_core::fence::FenceState;
use saga_core::id::{Direction, Version};
use saga_core::message::{Answer, Envelope, ReplyMessage};
use saga_core::port::{Change, Commit, FenceWrite, Settlement};

/// A mistake that an adapter or a runtime could make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A message counts as sent although the broker has not confirmed it.
    ConfirmAssumed,
    /// The relay reads its outbox with a cursor, and passes over what comes late.
    CursorRelay,
    /// Messages are not stored with the transition that asks for them, and only sent from memory.
    OutboxApart,
    /// A saga is written without a look at its version.
    NoCompareAndSet,
    /// Timers are not stored with the transition that arms them.
    TimersForgotten,
    /// A business key is not looked at when a saga starts.
    KeyIgnored,
    /// A command is run without a look at its fence row.
    NoFence,
    /// An undo that finds nothing to undo leaves no tombstone.
    NoTombstone,
    /// What a handler wrote before it refused or failed stays.
    RefusedWritesKept,
    /// A failed undo is answered as if it had succeeded.
    UndoFaultSwallowed,
    /// A message is acked when it is received.
    AckBeforeCommit,
    /// A message that cannot be read, or is for an unknown saga, is acked.
    StrayDropped,
    /// Fence rows are deleted without a notice that their saga has ended.
    NoticeIgnored,
    /// Fence rows are deleted as soon as their saga has ended.
    HorizonIgnored,
}

impl Bug {
    /// Every bug.
    pub const ALL: [Bug; 14] = [
        Bug::ConfirmAssumed,
        Bug::CursorRelay,
        Bug::OutboxApart,
        Bug::NoCompareAndSet,
        Bug::TimersForgotten,
        Bug::KeyIgnored,
        Bug::NoFence,
        Bug::NoTombstone,
        Bug::RefusedWritesKept,
        Bug::UndoFaultSwallowed,
        Bug::AckBeforeCommit,
        Bug::StrayDropped,
        Bug::NoticeIgnored,
        Bug::HorizonIgnored,
    ];

    /// A commit as this bug has it stored; `current` is the version that the saga has.
    pub(super) fn stored(self, mut commit: Commit, current: Option<Version>) -> Commit {
        match (self, &mut commit.change, current) {
            (Bug::OutboxApart, _, _) => commit.outbox.clear(),
            (Bug::TimersForgotten, _, _) => commit.timers.clear(),
            (Bug::KeyIgnored, Change::Start(start), _) => start.key = None,
            (Bug::NoCompareAndSet, Change::Move { expected }, Some(current)) => {
                *expected = current;
                for (entry, version) in commit.journal.iter_mut().zip(current + 1..) {
                    entry.version = version;
                }
            }
            _ => {}
        }
        commit
    }

    /// What this bug stores for a command.
    pub(super) fn fenced(self, write: &FenceWrite) -> FenceWrite {
        match (self, &write.state) {
            (Bug::NoTombstone, Some(FenceState::Closed)) => FenceWrite { state: None, ..write.clone() },
            _ => write.clone(),
        }
    }

    /// What this bug publishes instead of a message.
    pub(super) fn published(self, envelope: &Envelope) -> Envelope {
        match (self, ReplyMessage::decode(envelope)) {
            (Bug::UndoFaultSwallowed, Ok(reply))
                if reply.direction == Direction::Undo && matches!(reply.answer, Answer::Fault(_)) =>
            {
                ReplyMessage { answer: Answer::Undone, ..reply }.encode(envelope.destination.clone())
            }
            _ => envelope.clone(),
        }
    }

    /// How this bug settles a delivery.
    pub(super) fn settled(self, settlement: &Settlement) -> Settlement {
        match (self, settlement) {
            (Bug::StrayDropped, Settlement::DeadLetter { .. }) => Settlement::Ack,
            _ => settlement.clone(),
        }
    }
}
