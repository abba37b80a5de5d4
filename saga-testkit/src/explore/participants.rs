//! The participants' side: what the fence makes of a command, and what a handler does if it is run.

use std::collections::HashMap;
use std::error::Error;
use std::hash::Hash;

use saga_core::definition::{Role, ScriptError, StepPlan, UndoPlan};
use saga_core::fence::{FenceState, Recorded, Verdict};
use saga_core::id::Direction;
use saga_core::message::{Answer, Payload, PayloadError};
use saga_core::runtime::Reply;
use saga_core::{Command, Undoes};

use super::Faults;
use super::rules::Rules;
use super::world::{COUNT_MAX, Cell, Message, NONE, Said};

/// What one handler may do with a command: its answer, and the model afterwards if that changed.
type Work<M> = Box<dyn Fn(&M, &Payload) -> Result<(Option<M>, Answer), PayloadError> + Send + Sync>;

/// What one undo does.
type Undoing<M> = Box<dyn Fn(&M, &Payload, &Payload) -> Result<M, PayloadError> + Send + Sync>;

/// What the participants do, by command type. Where a user says nothing, a participant does what it is told, or
/// refuses.
pub(super) struct Participants<M> {
    pub(super) work: HashMap<&'static str, Work<M>>,
    pub(super) undos: HashMap<&'static str, Undoing<M>>,
    pub(super) replies: HashMap<&'static str, Vec<Payload>>,
    pub(super) refusals: HashMap<&'static str, Vec<Payload>>,
}

impl<M: Clone> Participants<M> {
    pub(super) fn new() -> Self {
        Participants {
            work: HashMap::new(),
            undos: HashMap::new(),
            replies: HashMap::new(),
            refusals: HashMap::new(),
        }
    }

    pub(super) fn handle<C: Command>(
        &mut self,
        handle: impl Fn(&mut M, C) -> Reply<C> + Send + Sync + 'static,
    ) {
        let work: Work<M> = Box::new(move |model, body| {
            let mut model = model.clone();
            match handle(&mut model, body.decode()?) {
                Reply::Done(reply) => Ok((Some(model), Answer::Done(Payload::encode::<C::Reply>(&reply)?))),
                // What a handler wrote before it refused is rolled back.
                Reply::Refused(why) => Ok((None, Answer::Refused(Payload::encode::<C::Refusal>(&why)?))),
            }
        });
        self.work.insert(C::TYPE, work);
    }

    pub(super) fn undo<C: Command, U: Undoes<C>>(
        &mut self,
        undo: impl Fn(&mut M, U, C::Reply) + Send + Sync + 'static,
    ) {
        let undoing: Undoing<M> = Box::new(move |model, body, did| {
            let mut model = model.clone();
            undo(&mut model, body.decode()?, did.decode()?);
            Ok(model)
        });
        self.undos.insert(U::TYPE, undoing);
    }

    /// Whether a step has a handler and lacks the undo that belongs to it.
    pub(super) fn lacks_undo(&self, step: &StepPlan) -> bool {
        let handled =
            step.command().is_some_and(|command| self.work.contains_key(command.command_type.as_str()));
        let undone = |undo: &UndoPlan| self.undos.contains_key(undo.command_type.as_str());
        handled && !step.undo().is_none_or(undone)
    }

    /// Whether a command has a handler over the model.
    pub(super) fn handles(&self, command: &str) -> bool {
        self.work.contains_key(command)
    }

    /// The command types that a user has said something of.
    pub(super) fn known_types(&self) -> impl Iterator<Item = &'static str> {
        let handled = self.work.keys().chain(self.undos.keys());
        handled.chain(self.replies.keys()).chain(self.refusals.keys()).copied()
    }
}

/// What a participant may do with one command, as the search sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    /// The model afterwards.
    pub(super) model: u32,
    pub(super) did: Did,
    pub(super) said: Option<Said>,
    pub(super) body: u32,
    row: Option<u32>,
}

/// What a participant did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Did {
    /// It did the work.
    Do,
    /// It said no.
    Refuse,
    /// It took the work back.
    Undo,
    /// It wrote down that the work is never to be done.
    Close,
    /// It answered from its record.
    Answer,
}

impl<M: Clone + Eq + Hash> Rules<M> {
    /// All that a participant may do with a command.
    pub(super) fn take(&self, model: u32, cell: &Cell, direction: Direction) -> Result<Vec<Taken>, String> {
        let row = (cell.row != NONE).then(|| self.rows.value(cell.row));
        match (self.decide)(row.as_deref(), direction) {
            Verdict::Answer(answer) => Ok(vec![self.taken(model, Did::Answer, None, &answer)]),
            Verdict::Record(row, answer) => Ok(vec![self.taken(model, Did::Close, Some(row), &answer)]),
            Verdict::Run => self.work(model, cell),
            Verdict::Undo(recorded) => self.take_back(model, cell, &recorded),
        }
    }

    fn work(&self, model: u32, cell: &Cell) -> Result<Vec<Taken>, String> {
        let Some(command) = self.step(cell.step).command() else { return Ok(Vec::new()) };
        let answers = self.answers(model, cell, command.command_type.as_str());
        let answers = answers.map_err(|error| error.to_string())?;
        Ok(answers.into_iter().map(|(model, answer)| self.worked(model, &answer)).collect())
    }

    fn worked(&self, model: u32, answer: &Answer) -> Taken {
        let (did, row) = match answer {
            Answer::Done(reply) => (Did::Do, Some(FenceState::Applied(reply.clone()))),
            Answer::Refused(why) => (Did::Refuse, Some(FenceState::Refused(why.clone()))),
            Answer::Undone | Answer::Closed | Answer::Running | Answer::Fault(_) => (Did::Answer, None),
        };
        self.taken(model, did, row, answer)
    }

    /// What the step's handler answers; without one, the replies and refusals that the user listed, or the least.
    fn answers(&self, model: u32, cell: &Cell, command: &str) -> Result<Vec<(u32, Answer)>, Box<dyn Error>> {
        let (plan, place) = self.place(cell.step);
        let mut answers = Vec::new();
        let handled = self.participants.work.get(command);
        if let Some(handle) = handled {
            let (changed, answer) = handle(&self.models.value(model), &self.payload(cell.command))?;
            answers.push((changed.map_or(model, |changed| self.models.number(changed)), answer));
        } else {
            let listed = self.participants.replies.get(command);
            let least = || plan.least_reply(place);
            let replies = listed_or(listed, true, least)?;
            answers.extend(replies.into_iter().map(|reply| (model, Answer::Done(reply))));
        }
        if self.faults.contains(Faults::REFUSAL) {
            let may_refuse = handled.is_none() && !matches!(plan.steps()[place].role, Role::Retriable);
            let listed = self.participants.refusals.get(command);
            let refusals = listed_or(listed, may_refuse, || plan.least_refusal(place))?;
            answers.extend(refusals.into_iter().map(|why| (model, Answer::Refused(why))));
        }
        Ok(answers)
    }

    fn take_back(&self, model: u32, cell: &Cell, recorded: &Recorded) -> Result<Vec<Taken>, String> {
        let step = self.step(cell.step);
        let undo = step.undo().and_then(|undo| self.participants.undos.get(undo.command_type.as_str()));
        let model = match (undo, recorded) {
            (Some(undo), Recorded::Reply(did)) => {
                let changed = undo(&self.models.value(model), &self.payload(cell.undo), did);
                self.models.number(changed.map_err(|error| error.to_string())?)
            }
            // Only handlers that call another service leave an outcome unknown, and those have no model here.
            (Some(_), Recorded::Unknown) | (None, _) => model,
        };
        Ok(vec![self.taken(model, Did::Undo, Some(FenceState::Compensated), &Answer::Undone)])
    }

    pub(super) fn taken(&self, model: u32, did: Did, row: Option<FenceState>, answer: &Answer) -> Taken {
        let body = match answer {
            Answer::Done(body) | Answer::Refused(body) => self.payloads.number(body.clone()),
            Answer::Undone | Answer::Closed | Answer::Running | Answer::Fault(_) => NONE,
        };
        let row = row.map(|row| self.rows.number(row));
        Taken { model, did, row, said: Said::of(answer), body }
    }
}

impl Taken {
    /// The cell afterwards, or what is wrong with it.
    pub(super) fn applied(&self, cell: &Cell, direction: Direction) -> Result<Cell, String> {
        let mut after = *cell;
        after.row = self.row.unwrap_or(cell.row);
        after.effects = COUNT_MAX.min(cell.effects + u8::from(self.did == Did::Do));
        after.undos = COUNT_MAX.min(cell.undos + u8::from(self.did == Did::Undo));
        let Some(said) = self.said else { return Ok(after) };
        if self.body != NONE && cell.said != NONE && cell.said != self.body {
            return Err("a participant gives two different answers to one command [truth]".into());
        }
        after.said = if self.body == NONE { cell.said } else { self.body };
        Ok(after.with(Message::Reply(direction, said)))
    }
}

/// What a user listed; if that is nothing, the least, if that is wanted.
fn listed_or(
    listed: Option<&Vec<Payload>>,
    wanted: bool,
    least: impl FnOnce() -> Result<Payload, ScriptError>,
) -> Result<Vec<Payload>, String> {
    match listed {
        Some(listed) => Ok(listed.clone()),
        None if wanted => least().map(|least| vec![least]).map_err(|error| {
            format!("{error}; list some with `reply` and `refusal`, or give a model with `handle`")
        }),
        None => Ok(Vec::new()),
    }
}
