//! The orchestrator's side: what the machine makes of an event, with times and attempts left out.
//!
//! The machine is the one of production. Two moments stand for all times and all counts of attempts: one at which
//! nothing is spent, and one at which everything is. `docs/explorer.md` says why that leaves nothing out.

use saga_core::id::{Direction, StepName};
use saga_core::machine::{
    Applied, Decision, Effect, Event, Instance, Resolution, State, Status, StepState, Transition, Try,
    Waiting,
};
use saga_core::message::{Answer, Fault, Payload};
use saga_core::policy::Timestamp;

use super::children;
use super::invariants::wrong_address;
use super::rules::Rules;
use super::world::{NONE, Said};

/// Something that happens to one saga.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Stimulus {
    /// The parent's command arrives, for the first time or again.
    Asked(Direction),
    /// The parent's release arrives.
    Released,
    /// A process that knows the plan with this number moves the saga to it.
    Upgrade {
        to: u32,
    },
    Reply {
        step: u32,
        direction: Direction,
        said: Said,
        body: u32,
    },
    Timer {
        step: u32,
        direction: Direction,
    },
    PermanentFault {
        step: u32,
        direction: Direction,
    },
    Signal {
        step: u32,
        body: u32,
    },
    Cancel,
    Retry,
    Compensate,
    ResolveDone {
        step: u32,
        body: u32,
    },
    ResolveNotDone {
        step: u32,
    },
}

/// When it happens, as far as that makes a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Moment {
    /// Attempts are left, and no deadline has passed.
    Early,
    /// The attempts are spent.
    Spent,
    /// The saga's deadline has passed.
    Overdue,
    /// The saga's own code fails.
    Failing,
}

/// What comes of it.
#[derive(Debug)]
pub(super) enum Outcome {
    Nothing,
    Moved {
        instance: u32,
        effects: Vec<Asked>,
    },
    /// What must never happen.
    Wrong(String),
}

/// An effect of a transition.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asked {
    Send {
        step: u32,
        direction: Direction,
        body: u32,
    },
    /// The parent is answered.
    Answer {
        direction: Direction,
        said: Said,
        body: u32,
    },
    /// A child is released.
    Release {
        step: u32,
    },
    /// Others are told something.
    Tell {
        step: u32,
    },
    Arm {
        step: u32,
    },
    Disarm {
        step: u32,
    },
}

/// What the search needs to know of a saga, found out once for each of its states.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) status: Status,
    /// The number of the plan that it follows.
    pub(super) plan: u32,
    pub(super) going_back: bool,
    pub(super) awaited: Vec<(u32, Direction)>,
    /// What the saga knows of, what it takes for done, and what for refused or undone.
    pub(super) known: Vec<u32>,
    pub(super) done: Vec<u32>,
    pub(super) not_done: Vec<u32>,
    /// The notifications that it has come to.
    pub(super) told: Vec<u32>,
    /// What is wrong with it, whatever the rest of the world looks like.
    pub(super) wrong: Option<String>,
}

impl<M> Rules<M> {
    /// Has the machine decide.
    pub(super) fn happen(&self, instance: u32, stimulus: Stimulus, moment: Moment) -> Outcome {
        let before = self.instances.value(instance);
        let Some(event) = self.event(&before, stimulus, moment) else { return Outcome::Nothing };
        let plan = if let Stimulus::Upgrade { to } = stimulus { to } else { self.plan_of(&before).0 };
        match (self.apply)(&self.plans[plan as usize], &at(&before, moment), &event, now(moment)) {
            Ok(Applied::Ignored(_)) => Outcome::Nothing,
            // It did not come to the saga's code.
            Ok(Applied::Moved(transition)) if moment == Moment::Failing && !parks(&transition) => {
                Outcome::Nothing
            }
            Ok(Applied::Moved(transition)) => self.moved_to(&before, *transition, stimulus, moment),
            Err(_) if stimulus.comes_from_outside() => Outcome::Nothing,
            Err(error) => {
                Outcome::Wrong(format!("the machine takes {event:?} for one that nobody sent: {error}"))
            }
        }
    }

    fn moved_to(
        &self,
        before: &Instance,
        transition: Transition,
        stimulus: Stimulus,
        moment: Moment,
    ) -> Outcome {
        let Transition { next, effects, .. } = transition;
        let (_, plan) = self.plan_of(&next);
        let elsewhere = effects.iter().find_map(|effect| wrong_address(plan, effect));
        let effects: Vec<Asked> = effects.iter().filter_map(|effect| self.asked(before, effect)).collect();
        let mut after = plain(next);
        if moment == Moment::Failing {
            after.data = before.data.clone();
        }
        let wrong = || self.wrong_transition(before, &after, stimulus, moment, &effects);
        match elsewhere.or_else(wrong) {
            Some(wrong) => Outcome::Wrong(wrong),
            None => Outcome::Moved { instance: self.instances.number(after), effects },
        }
    }

    pub(super) fn standing(&self, instance: u32) -> Standing {
        let instance = self.instances.value(instance);
        let (steps, (plan, _)) = (instance.state.steps(), self.plan_of(&instance));
        let numbers = |wanted: fn(&StepState) -> bool| {
            let wanted = steps.iter().filter(move |record| wanted(&record.state));
            wanted.map(|record| self.number(plan, &record.name))
        };
        let is_done = |state: &StepState| matches!(state, StepState::Done(_));
        let is_not = |state: &StepState| matches!(state, StepState::Refused | StepState::Undone);
        let awaited = steps
            .iter()
            .filter_map(|record| Some((self.number(plan, &record.name), record.state.awaited()?.0)));
        Standing {
            status: instance.state.status(),
            plan,
            going_back: instance.state.cause().is_some(),
            awaited: awaited.collect(),
            known: steps.iter().map(|record| self.number(plan, &record.name)).collect(),
            done: numbers(is_done).filter(|step| self.sends_command(*step)).collect(),
            not_done: numbers(is_not).filter(|step| self.sends_command(*step)).collect(),
            told: numbers(is_done).filter(|step| self.tells(*step)).collect(),
            wrong: self.wrong_end(&instance).or_else(|| self.wrong_width(&instance)),
        }
    }

    /// The event as the machine knows it. Nothing if a saga may not move to the version that it is to move to.
    fn event(&self, saga: &Instance, stimulus: Stimulus, moment: Moment) -> Option<Event> {
        let attempt = attempt(moment);
        let reason = || "explored".to_owned();
        let name = |step| self.name(step);
        Some(match stimulus {
            Stimulus::Upgrade { to } => return (self.upgrade)(&self.plans[to as usize], saga).ok(),
            Stimulus::Asked(direction) => children::asked(direction),
            Stimulus::Released => Event::Released,
            Stimulus::Reply { step, direction, said, body } => {
                let answer = self.answer(said, body);
                Event::Replied { step: name(step), direction, attempt, answer }
            }
            Stimulus::Timer { step, direction } => Event::TimerDue { step: name(step), direction, attempt },
            Stimulus::PermanentFault { step, direction } => {
                let answer = Answer::Fault(Fault::permanent("explored"));
                Event::Replied { step: name(step), direction, attempt, answer }
            }
            Stimulus::Signal { step, body } => {
                Event::Signalled { step: name(step), signal: self.payload(body) }
            }
            Stimulus::Cancel => Event::Cancel { reason: reason() },
            Stimulus::Retry => Event::Retry { reason: reason() },
            Stimulus::Compensate => Event::Compensate { reason: reason() },
            Stimulus::ResolveDone { step, body } => {
                let resolution = Resolution::Done(self.payload(body));
                Event::Resolve { step: name(step), resolution, reason: reason() }
            }
            Stimulus::ResolveNotDone { step } => {
                Event::Resolve { step: name(step), resolution: Resolution::NotDone, reason: reason() }
            }
        })
    }

    fn answer(&self, said: Said, body: u32) -> Answer {
        match said {
            Said::Done => Answer::Done(self.payload(body)),
            Said::Refused => Answer::Refused(self.payload(body)),
            Said::Closed => Answer::Closed,
            Said::Undone => Answer::Undone,
        }
    }

    /// An answer to a parent, if it is a final one.
    pub(super) fn answered(&self, direction: Direction, answer: &Answer) -> Option<Asked> {
        let body = match answer {
            Answer::Done(body) | Answer::Refused(body) => self.payloads.number(body.clone()),
            Answer::Undone | Answer::Closed | Answer::Running | Answer::Fault(_) => NONE,
        };
        Some(Asked::Answer { direction, said: Said::of(answer)?, body })
    }

    pub(super) fn payload(&self, body: u32) -> Payload {
        if body == NONE { Payload::default() } else { Payload::clone(&self.payloads.value(body)) }
    }

    pub(super) fn asked(&self, saga: &Instance, effect: &Effect) -> Option<Asked> {
        let (plan, _) = self.plan_of(saga);
        let number = |step: &StepName| self.number(plan, step);
        Some(match effect {
            Effect::Answer { direction, answer } => self.answered(*direction, answer)?,
            Effect::Release { step, .. } => Asked::Release { step: number(step) },
            Effect::Send { step, direction, body, .. } => {
                let body = self.payloads.number(body.clone());
                Asked::Send { step: number(step), direction: *direction, body }
            }
            Effect::Notify { step, .. } => Asked::Tell { step: number(step) },
            Effect::Arm { step, .. } => Asked::Arm { step: number(step) },
            Effect::Disarm { step } => Asked::Disarm { step: number(step) },
        })
    }
}

impl Stimulus {
    /// Whoever is outside may ask for what is not possible, and gets an error.
    const fn comes_from_outside(self) -> bool {
        match self {
            Stimulus::Reply { .. } | Stimulus::Timer { .. } | Stimulus::PermanentFault { .. } => false,
            Stimulus::Asked(_) | Stimulus::Released | Stimulus::Upgrade { .. } => false,
            Stimulus::Signal { .. }
            | Stimulus::Cancel
            | Stimulus::Retry
            | Stimulus::Compensate
            | Stimulus::ResolveDone { .. }
            | Stimulus::ResolveNotDone { .. } => true,
        }
    }
}

/// The saga without what is no part of a state: version, times, attempts, and the words of a reason.
pub(super) fn plain(mut instance: Instance) -> Instance {
    instance.version = 0;
    instance.began = Timestamp::from_micros(0);
    if let Some(parent) = &mut instance.parent {
        parent.attempt = 1;
    }
    if let State::Parked(parked) = &mut instance.state {
        parked.reason.clear();
    }
    set_attempts(&mut instance, 1);
    instance
}

/// The saga as the machine finds it at a moment. Data that cannot be read stands for code that fails. When its attempts
/// are spent, whatever it waits for is over as well, but not the deadline of the saga.
fn at(plain: &Instance, moment: Moment) -> Instance {
    let mut instance = plain.clone();
    set_attempts(&mut instance, attempt(moment));
    match moment {
        Moment::Failing => instance.data = Payload::default(),
        Moment::Spent => instance.began = now(moment),
        Moment::Early | Moment::Overdue => {}
    }
    instance
}

const fn parks(transition: &Transition) -> bool {
    matches!(transition.decision, Decision::Parked(_))
}

const fn attempt(moment: Moment) -> u32 {
    match moment {
        Moment::Early | Moment::Overdue | Moment::Failing => 1,
        // More than any policy allows.
        Moment::Spent => u32::MAX,
    }
}

const fn now(moment: Moment) -> Timestamp {
    match moment {
        Moment::Early | Moment::Failing => Timestamp::from_micros(0),
        Moment::Spent | Moment::Overdue => Timestamp::from_micros(i64::MAX),
    }
}

fn set_attempts(instance: &mut Instance, attempt: u32) {
    let asked = Try { attempt, first: 1, since: Timestamp::from_micros(0), waiting: Waiting::Answer };
    for record in steps_mut(&mut instance.state) {
        match &mut record.state {
            StepState::Doing(present) | StepState::Closing(present) => *present = asked,
            StepState::Undoing { asked: present, .. } | StepState::Waiting { asked: present, .. } => {
                *present = asked;
            }
            StepState::Pausing { asked: present, until } => {
                *present = asked;
                *until = Timestamp::from_micros(0);
            }
            StepState::Early(_) | StepState::Queued | StepState::Done(_) | StepState::Refused => {}
            StepState::Undone | StepState::Skipped => {}
        }
    }
}

fn steps_mut(state: &mut State) -> &mut [saga_core::machine::StepRecord] {
    match state {
        State::Running(running) => &mut running.steps,
        State::Compensating(compensating) => &mut compensating.steps,
        State::Provisional(provisional) => &mut provisional.steps,
        State::Parked(parked) => &mut parked.steps,
        State::Completed(completed) => &mut completed.steps,
        State::Compensated(compensated) => &mut compensated.steps,
    }
}
