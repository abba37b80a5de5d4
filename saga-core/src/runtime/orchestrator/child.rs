//! Sagas that are run as steps of others: what the first command makes of one that is not there yet.
//!
//! A command names its saga, whose id is derived from the parent's and the step. So the saga's own row is the fence:
//! whoever inserts it first has begun it, or has seen to it that it never begins.

use super::arrival::{Begin, EventArrival, Source};
use super::fold::{self, Folding};
use super::registry::Registry;
use crate::id::Direction;
use crate::machine::{Instance, Parent};
use crate::message::{Answer, CommandMessage, Fault, ReplyMessage};
use crate::port::{Commit, IdSource, OutboxRow};

/// The command that an arrival is, if it is one.
pub(super) fn command(arrival: &EventArrival) -> Option<CommandMessage> {
    match &arrival.source {
        Source::Delivery { envelope, .. } => CommandMessage::decode(envelope).ok(),
        Source::Held(_) | Source::Timer | Source::Operator(_) => None,
    }
}

/// What a command comes to whose saga is not there: the commit that begins it, or the tombstone.
pub(super) fn begin(
    with: &Folding<'_>,
    registry: &Registry,
    command: &CommandMessage,
) -> Result<(Commit, Instance), Fault> {
    let name = command.command_type.as_str();
    let Some(plan) = registry.sub_saga(name) else {
        return Err(Fault::permanent(format!("no saga {name:?} is registered here to be run as a step")));
    };
    if command.direction == Direction::Do && with.now > command.not_after {
        return Err(Fault::temporary("the command is expired and was not run"));
    }
    let CommandMessage { saga, step, direction, attempt, reply_to, trace, body, .. } = command.clone();
    let (id, asks) = (saga.child(&step), Some(direction));
    let parent = Parent { saga, step, reply_to, attempt, asks };
    let begin = Begin { plan: plan.clone(), id, key: None, data: body, trace };
    fold::begin_by(with, &begin, &parent).map_err(|error| Fault::permanent(format!("saga {name:?}: {error}")))
}

/// The answer to a command that could not be carried out.
pub(super) fn fault(ids: &dyn IdSource, command: CommandMessage, fault: Fault) -> OutboxRow {
    let CommandMessage { saga, step, direction, attempt, reply_to, trace, .. } = command;
    let reply = ReplyMessage { saga, step, direction, attempt, answer: Answer::Fault(fault), trace };
    OutboxRow { id: ids.row(), envelope: reply.encode(reply_to), claimed: false }
}
