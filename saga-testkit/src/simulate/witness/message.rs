//! Messages, as far as promises are made about them.

use std::fmt;

use saga_core::id::{Direction, SagaId, StepName};
use saga_core::machine::{self, Applied, Event, Ignored, Instance};
use saga_core::message::{
    Answer, CommandMessage, EndNotice, Envelope, NotificationMessage, ReleaseMessage, ReplyMessage,
};
use saga_core::port::Settlement;

use super::Witness;
use crate::simulate::counters::{Counters, Seen};

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::simulate) enum Said {
    Command {
        saga: SagaId,
        step: StepName,
        direction: Direction,
        attempt: u32,
    },
    Reply {
        saga: SagaId,
        step: StepName,
        direction: Direction,
        attempt: u32,
        answer: &'static str,
    },
    /// What a saga tells others, whoever they are.
    Notification {
        saga: SagaId,
        step: StepName,
    },
    /// That a saga has completed, to the one that its step runs.
    Release {
        saga: SagaId,
        step: StepName,
    },
    /// That sagas have ended: the first of them.
    End {
        saga: SagaId,
    },
    /// Nothing that the framework understands.
    Nonsense,
}

impl Said {
    pub(in crate::simulate) fn of(envelope: &Envelope) -> Said {
        if let Ok(CommandMessage { saga, step, direction, attempt, .. }) = CommandMessage::decode(envelope) {
            return Said::Command { saga, step, direction, attempt };
        }
        if let Ok(NotificationMessage { saga, step, .. }) = NotificationMessage::decode(envelope) {
            return Said::Notification { saga, step };
        }
        if let Ok(ReleaseMessage { saga, step, .. }) = ReleaseMessage::decode(envelope) {
            return Said::Release { saga, step };
        }
        if let Ok(notice) = EndNotice::decode(envelope) {
            return Said::End { saga: notice.sagas()[0] };
        }
        match ReplyMessage::decode(envelope) {
            Ok(ReplyMessage { saga, step, direction, attempt, answer, .. }) => {
                Said::Reply { saga, step, direction, attempt, answer: answer.name() }
            }
            Err(_) => Said::Nonsense,
        }
    }
}

impl Said {
    /// Whether somebody in the simulation reads such messages.
    pub(super) const fn has_reader(&self) -> bool {
        match self {
            Said::Command { .. } | Said::Reply { .. } | Said::Release { .. } => true,
            Said::End { .. } | Said::Nonsense => true,
            Said::Notification { .. } => false,
        }
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Said::Command { saga, step, direction, attempt } => {
                write!(f, "{direction} {step} of {saga}, attempt {attempt}")
            }
            Said::Reply { saga, step, direction, attempt, answer } => {
                write!(f, "{answer} to {direction} {step} of {saga}, attempt {attempt}")
            }
            Said::Notification { saga, step } => write!(f, "notification {step} of {saga}"),
            Said::Release { saga, step } => write!(f, "release of {step} of {saga}"),
            Said::End { saga } => write!(f, "the end of {saga} and others"),
            Said::Nonsense => write!(f, "nonsense"),
        }
    }
}

impl Witness {
    /// S9: nothing is published that is not committed. Faults are answered past the outbox.
    pub(in crate::simulate) fn publishing(&mut self, envelope: &Envelope, counters: &mut Counters) {
        if let Ok(notice) = EndNotice::decode(envelope) {
            return self.telling_ends(&notice);
        }
        if envelope.body.ends_with(EXPIRED) {
            counters.count(Seen::ExpiredRefused);
        }
        let said = Said::of(envelope);
        match &said {
            Said::Reply { saga, step, direction, attempt, answer } if answer.starts_with("fault") => {
                self.faulted.insert((*saga, step.clone(), *direction, *attempt));
            }
            _ if self.committed.contains(&said) => {}
            // A saga that is asked again answers from memory.
            Said::Reply { saga, step, answer, .. } if self.may_be_answered(*saga, step, answer) => {
                counters.count(Seen::ChildAnsweredAgain);
            }
            _ => self.violation(format!("S9: {said} is published and not committed")),
        }
    }

    pub(in crate::simulate) fn taken(
        &mut self,
        envelope: &Envelope,
        confirm_lost: bool,
        counters: &mut Counters,
    ) {
        let said = Said::of(envelope);
        if self.unconfirmed.contains(&said) {
            counters.count(Seen::LostConfirmDoubled);
        }
        if confirm_lost {
            self.unconfirmed.insert(said.clone());
        }
        if matches!(said, Said::Notification { .. }) {
            counters.count(Seen::Told);
        }
        self.taken.insert(said, envelope.clone());
    }

    pub(in crate::simulate) fn received(&mut self, envelope: &Envelope) {
        self.received.insert(Said::of(envelope));
    }

    /// S14: what is acked is committed, answered with a fault, or of no use any more.
    pub(in crate::simulate) fn settled(
        &mut self,
        envelope: &Envelope,
        settlement: &Settlement,
        counters: &mut Counters,
    ) {
        match settlement {
            Settlement::Release => {}
            Settlement::DeadLetter { .. } => {
                counters.count(Seen::DeadLettered);
                self.given_up(&Said::of(envelope));
            }
            Settlement::Ack => {
                if let Some(why) = self.why_not_acked(envelope, counters) {
                    self.violation(format!("S14: {} is acked, and {why}", Said::of(envelope)));
                }
            }
        }
    }

    pub(super) fn why_not_acked(&self, envelope: &Envelope, counters: &mut Counters) -> Option<&'static str> {
        if let Ok(command) = CommandMessage::decode(envelope) {
            let CommandMessage { saga, step, direction, attempt, not_after, .. } = command;
            if self.step(saga, &step).is_some_and(|step| step.sub_saga().is_some()) {
                return self.why_not_asked(saga, &step, direction, not_after);
            }
            let is_answered = self.faulted.contains(&(saga, step.clone(), direction, attempt))
                || self.is_answered(saga, step, direction, attempt);
            return (!is_answered).then_some("nothing was answered");
        }
        if let Ok(ReleaseMessage { saga, step, .. }) = ReleaseMessage::decode(envelope) {
            return self.why_not_released(saga, &step);
        }
        if let Ok(notice) = EndNotice::decode(envelope) {
            return self.why_notice_not_acked(envelope, &notice);
        }
        match ReplyMessage::decode(envelope) {
            Ok(_) if self.is_held(&Said::of(envelope)) => None,
            Ok(reply) => self.why_reply_not_acked(reply, counters),
            Err(_) => Some("nobody can read it"),
        }
    }

    /// Whether an answer is with the broker, and nobody has read it yet.
    pub(super) fn is_reply_under_way(&self, saga: SagaId, step: &StepName, direction: Direction) -> bool {
        let from = Said::Reply { saga, step: step.clone(), direction, attempt: 0, answer: "" };
        let to = Said::Reply { saga, step: step.clone(), direction, attempt: u32::MAX, answer: "" };
        self.taken.range(from..to).any(|(said, _)| !self.received.contains(said))
    }

    fn is_answered(&self, saga: SagaId, step: StepName, direction: Direction, attempt: u32) -> bool {
        let from = Said::Reply { saga, step: step.clone(), direction, attempt, answer: "" };
        let next = self.committed.range(from..).next();
        matches!(next, Some(Said::Reply { saga: s, step: t, direction: d, attempt: a, .. })
            if (*s, t, *d, *a) == (saga, &step, direction, attempt))
    }

    /// A reply that is done with would be ignored if it came once more.
    fn why_reply_not_acked(&self, reply: ReplyMessage, counters: &mut Counters) -> Option<&'static str> {
        let ReplyMessage { saga, step, direction, attempt, answer, .. } = reply;
        let Some(seen) = self.sagas.get(&saga) else {
            return Some("there is no such saga");
        };
        let is_done = matches!(answer, Answer::Done(_)) && direction == Direction::Do;
        let was_accepted = seen.accepted.contains(&(step.clone(), direction));
        let event = Event::Replied { step, direction, attempt, answer };
        let instance = Instance::decode(seen.stored.clone()).ok()?;
        let again = machine::apply(self.plan(saga)?, &instance, &event, instance.began);
        if is_done
            && !was_accepted
            && matches!(again, Ok(Applied::Ignored(Ignored::NotAwaited | Ignored::Ended)))
        {
            counters.count(Seen::LateDoneIgnored);
        }
        // A parked saga ignores what it is told; once it is released, the same would be accepted, and it asks again.
        let is_of_use = matches!(again, Ok(Applied::Moved(_)) | Err(_)) && !seen.was_parked;
        is_of_use.then_some("the saga still awaits it")
    }
}

/// How the fault of a command ends that came too late.
const EXPIRED: &[u8] = b"is expired and was not run";
