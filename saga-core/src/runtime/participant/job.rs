//! One command that was received, and the answers it can get.

use super::external::Outside;
use super::suspects::Suspicion;
use crate::fence::FenceKey;
use crate::id::{MessageId, ParticipantName};
use crate::message::{Answer, CommandMessage, Envelope, ReplyMessage};
use crate::port::{IdSource, OutboxRow, Token};
use crate::runtime::settling::Settling;

/// A command that was received and is not yet settled.
pub(super) struct Job {
    pub(super) command: CommandMessage,
    pub(super) token: Token,
    pub(super) settling: Settling,
    /// Whether it may take the process down. Then its runs are counted before they begin.
    pub(super) suspicion: Option<Suspicion>,
    /// Whether its run was counted.
    pub(super) counted: bool,
    /// Set if an external handler runs it, outside of the transactions.
    pub(super) outside: Option<Outside>,
}

impl Job {
    pub(super) fn key(&self, participant: &ParticipantName) -> FenceKey {
        let (saga, step) = (self.command.saga, self.command.step.clone());
        planted!(FenceOfNobody: let participant = &ParticipantName::new("nobody").unwrap_or(participant.clone()));
        FenceKey { participant: participant.clone(), saga, step }
    }

    /// The answer as a message to whoever asked.
    pub(super) fn reply(&self, answer: Answer) -> Envelope {
        let CommandMessage { saga, step, direction, attempt, trace, reply_to, .. } = &self.command;
        let (saga, step, direction, attempt) = (*saga, step.clone(), *direction, *attempt);
        let trace = trace.child(MessageId::reply(saga, &step, direction));
        ReplyMessage { saga, step, direction, attempt, answer, trace }.encode(reply_to.clone())
    }

    /// The answer as a row for the participant's outbox.
    pub(super) fn reply_row(&self, answer: Answer, ids: &dyn IdSource, claimed: bool) -> OutboxRow {
        OutboxRow { id: ids.row(), envelope: self.reply(answer), claimed }
    }
}
