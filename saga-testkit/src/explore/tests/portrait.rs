//! What a state looks like once all that is no part of a state is left out, in words that both models can say.

use std::collections::BTreeSet;

use saga_core::id::StepName;
use saga_core::machine::{Instance, StepState};
use saga_core::message::{Answer, Payload};

use super::unreduced::{Letter, Unreduced};
use crate::explore::rules::Rules;
use crate::explore::world::{Cell, Message, NONE, Said, World};

/// One word for each thing that is so.
pub(super) type Portrait = BTreeSet<String>;

impl Unreduced {
    /// A message is there whether it was published, will be, or never is: the explorer need not deliver it. Faults
    /// decide nothing that a timer does not.
    pub(super) fn portrait(&self) -> Portrait {
        let mut words = of_saga(&self.saga);
        words.extend(self.fences.iter().map(|(step, row)| format!("row {step} {row:?}")));
        for (step, (effects, undos)) in &self.ledger {
            words.extend(ledger(step, *effects, *undos));
        }
        let letters = self.outbox.iter().chain(&self.dead).chain(&self.network);
        words.extend(letters.filter_map(Letter::word));
        words
    }
}

impl Letter {
    fn word(&self) -> Option<String> {
        let says = match serde_json::from_str(&self.says) {
            Ok(answer) if self.is_reply => said(&answer)?,
            Ok(_) | Err(_) => self.says.clone(),
        };
        Some(format!("{} {} {says}", self.direction, self.step))
    }
}

/// The portrait of one saga's world, as the explorer sees it.
pub(super) fn of_world<M>(rules: &Rules<M>, world: &World) -> Portrait {
    let local = &world.sagas[0];
    let mut words = of_saga(&rules.instances.value(local.instance));
    for cell in &local.cells {
        let step = rules.name(cell.step);
        words.extend((cell.row != NONE).then(|| format!("row {step} {:?}", rules.rows.value(cell.row))));
        words.extend(ledger(&step, cell.effects, cell.undos));
        words.extend(of_messages(rules, &step, cell));
    }
    words
}

fn of_messages<M>(rules: &Rules<M>, step: &StepName, cell: &Cell) -> Vec<String> {
    let commands = Message::commands().filter(|direction| cell.has(Message::Command(*direction)));
    let commands = commands.map(|direction| {
        let body = rules.payload(cell.body(direction));
        format!("{direction} {step} {}", body.as_text())
    });
    let replies = Message::replies().filter(|(direction, said)| cell.has(Message::Reply(*direction, *said)));
    let replies = replies.filter_map(|(direction, answer)| {
        let body = rules.payload(cell.said);
        let answer = match answer {
            Said::Done => Answer::Done(body),
            Said::Refused => Answer::Refused(body),
            Said::Closed => Answer::Closed,
            Said::Undone => Answer::Undone,
        };
        Some(format!("{direction} {step} {}", said(&answer)?))
    });
    commands.chain(replies).collect()
}

fn of_saga(saga: &Instance) -> Portrait {
    let mut words = Portrait::from([
        format!("{:?}", saga.state.status()),
        format!("{:?}", saga.state.cause()),
        format!("data {}", saga.data.as_text()),
    ]);
    words
        .extend(saga.state.steps().iter().map(|record| format!("{}: {}", record.name, known(&record.state))));
    words
}

fn known(state: &StepState) -> String {
    let text = |reply: &Payload| reply.as_text().to_owned();
    match state {
        StepState::Undoing { reply, .. } => format!("undoing {:?}", reply.as_ref().map(text)),
        StepState::Done(reply) => format!("done {}", text(reply)),
        other => match other.awaited() {
            Some((direction, _)) => format!("awaits {direction}"),
            None => format!("{other:?}"),
        },
    }
}

fn ledger(step: &StepName, effects: u8, undos: u8) -> Option<String> {
    (effects > 0 || undos > 0).then(|| format!("ledger {step} {effects} {undos}"))
}

fn said(answer: &Answer) -> Option<String> {
    match answer {
        Answer::Done(body) | Answer::Refused(body) => Some(format!("{} {}", answer.name(), body.as_text())),
        Answer::Closed | Answer::Undone => Some(answer.name().into()),
        Answer::Running | Answer::Fault(_) => None,
    }
}
