//! What a story drives and remembers, without the saga's types: the machine, what was sent, and the tale so far.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use saga_core::definition::Plan;
use saga_core::id::{Destination, Direction, MessageId, SagaId, StepName};
use saga_core::machine::{
    Applied, Decision, Effect, Event, Instance, Parent, Resolution, State, Status, StepState,
    TransitionError, Waiting, apply, start, start_by, upgrade,
};
use saga_core::message::{Answer, Payload, TraceParent};
use saga_core::policy::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

/// A message that was sent.
#[derive(Clone)]
pub(super) struct Sent {
    pub(super) step: StepName,
    pub(super) direction: Direction,
    pub(super) attempt: u32,
    pub(super) body: Payload,
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.direction, self.step, self.body.as_text())
    }
}

pub(super) struct Narrative {
    plan: Arc<Plan>,
    pub(super) saga: Instance,
    now: Timestamp,
    timers: BTreeMap<StepName, (Direction, u32, Duration)>,
    /// What was sent and not yet told.
    untold: Vec<Sent>,
    /// What was told and not answered.
    unanswered: Vec<Sent>,
    tale: Vec<String>,
}

impl Narrative {
    #[track_caller]
    pub(super) fn begin(plan: Arc<Plan>, data: &impl Serialize, parent: Option<Parent>) -> Self {
        let data = Payload::encode(data).unwrap_or_else(|error| panic!("the saga's data: {error}"));
        let id = SagaId::from_uuid(Uuid::from_u128(SAGA));
        let trace = TraceParent::of_message(id, MessageId::from_uuid(id.as_uuid()));
        let now = Timestamp::from_micros(0);
        let begun = match parent {
            Some(parent) => start_by(&plan, id, parent, data, trace, now),
            None => start(&plan, id, data, trace, now),
        };
        let begun = begun.unwrap_or_else(|error| panic!("{} cannot start: {error}", plan.reference()));
        let (timers, untold, unanswered, tale) = (BTreeMap::new(), Vec::new(), Vec::new(), Vec::new());
        let title = format!("{} starts", plan.reference());
        let mut narrative = Narrative { plan, saga: begun.next, now, timers, untold, unanswered, tale };
        narrative.take(&title, begun.effects);
        narrative
    }

    /// Applies an event, and adds it to the tale whatever becomes of it.
    pub(super) fn apply(&mut self, event: &Event) -> Result<Applied, TransitionError> {
        let applied = apply(&self.plan, &self.saga, event, self.now);
        match &applied {
            Ok(Applied::Moved(transition)) => {
                self.saga = transition.next.clone();
                self.take(&told(event, &transition.decision), transition.effects.clone());
            }
            Ok(Applied::Ignored(why)) => {
                self.tale.push(format!("{}: ignored, {}", name(event), why.as_str()))
            }
            Err(error) => self.tale.push(format!("{}: refused, {error}", name(event))),
        }
        applied
    }

    #[track_caller]
    pub(super) fn upgrade(&mut self, newer: Arc<Plan>) {
        match upgrade(&newer, &self.saga) {
            Ok(event) => {
                self.plan = newer;
                if let Err(error) = self.apply(&event) {
                    self.fail(&format!("the saga cannot move: {error}"))
                }
            }
            Err(why) => self.fail(&format!("the saga stays with its version: {why}")),
        }
    }

    fn take(&mut self, what: &str, effects: Vec<Effect>) {
        let mut sent = String::new();
        for effect in effects {
            match effect {
                Effect::Send { step, direction, attempt, body, .. } => {
                    let message = Sent { step, direction, attempt, body };
                    sent += &format!("\n       sends {message}");
                    self.untold.push(message);
                }
                Effect::Notify { step, body, .. } => {
                    let message = Sent { step, direction: Direction::Do, attempt: 1, body };
                    sent += &format!("\n       tells {message}");
                    self.untold.push(message);
                }
                Effect::Answer { direction, answer } => {
                    sent += &format!("\n       answers {direction} with {}", described(&answer));
                }
                Effect::Release { step, .. } => sent += &format!("\n       releases {step}"),
                Effect::Arm { step, direction, attempt, after } => {
                    self.timers.insert(step, (direction, attempt, after));
                }
                Effect::Disarm { step } => {
                    self.timers.remove(&step);
                }
            }
        }
        self.tale.push(format!("{what}{sent}"));
    }

    /// Takes what was sent to a step and not yet told.
    #[track_caller]
    pub(super) fn take_sent(&mut self, step: &str, direction: Direction) -> Sent {
        let wanted = |sent: &Sent| sent.step.as_str() == step && sent.direction == direction;
        match self.untold.iter().position(wanted) {
            Some(at) => self.untold.remove(at),
            None => self.fail(&format!("expected {direction} {step}, but {}", self.untold_or_nothing())),
        }
    }

    /// Takes the command of a step that was told and not answered.
    #[track_caller]
    pub(super) fn take_unanswered(&mut self, step: &str) -> Sent {
        let wanted = |sent: &Sent| sent.step.as_str() == step && sent.direction == Direction::Do;
        match self.unanswered.iter().rposition(wanted) {
            Some(at) => self.unanswered.remove(at),
            None => self
                .fail(&format!("no unanswered command of {step} was told, so there is no going back to it")),
        }
    }

    pub(super) fn leave_unanswered(&mut self, sent: Sent) {
        self.unanswered.push(sent);
    }

    /// Lets the timer of a message fire, when it is due.
    #[track_caller]
    pub(super) fn time_out(&mut self, sent: &Sent) {
        match self.timers.get(&sent.step).copied() {
            Some((direction, attempt, after)) if direction == sent.direction => {
                self.now = self.now.plus(after);
                let _ = self.apply(&Event::TimerDue { step: sent.step.clone(), direction, attempt });
            }
            Some(_) | None => self.fail(&format!("{} {} is not awaited any more", sent.direction, sent.step)),
        }
    }

    /// Lets the deadline of a step that waits for its signal pass.
    #[track_caller]
    pub(super) fn pass_deadline(&mut self, step: &StepName) {
        match self.step_state(step) {
            Some(StepState::Waiting { .. }) => self.pass_timer(step),
            Some(_) | None => self.fail(&format!("{step} does not wait for its signal")),
        }
    }

    /// Lets a pause of this length pass.
    #[track_caller]
    pub(super) fn pass_pause(&mut self, step: &StepName, length: Duration) {
        match (self.step_state(step), self.timers.get(step)) {
            (Some(StepState::Pausing { .. }), Some((_, _, after))) if *after == length => {
                self.pass_timer(step);
            }
            (Some(StepState::Pausing { .. }), Some((_, _, after))) => {
                self.fail(&format!("expected that {step} pauses for {length:?}, but it does for {after:?}"))
            }
            (Some(_) | None, _) => self.fail(&format!("{step} does not pause")),
        }
    }

    #[track_caller]
    fn pass_timer(&mut self, step: &StepName) {
        let Some((direction, attempt, after)) = self.timers.get(step).copied() else {
            self.fail(&format!("{step} has no timer"))
        };
        self.now = self.now.plus(after);
        let _ = self.apply(&Event::TimerDue { step: step.clone(), direction, attempt });
    }

    /// Lets every attempt of a message time out, until it is given up.
    #[track_caller]
    pub(super) fn exhaust(&mut self, sent: &Sent) {
        for _ in 0..ATTEMPTS_MAX {
            self.time_out(sent);
            let again = |later: &Sent| later.step == sent.step && later.direction == sent.direction;
            match self.untold.iter().position(again) {
                Some(at) => drop(self.untold.remove(at)),
                None => return,
            }
        }
        self.fail(&format!("{} {} is never given up; use `time_out`", sent.direction, sent.step));
    }

    /// Lets the pause after a temporary fault pass, if there is one.
    #[track_caller]
    pub(super) fn wait_out(&mut self, step: &StepName, direction: Direction) {
        let asked = self.step_state(step).and_then(StepState::awaited);
        if let Some((now, asked)) = asked
            && now == direction
            && asked.waiting == Waiting::Backoff
        {
            let sent =
                Sent { step: step.clone(), direction, attempt: asked.attempt, body: Payload::default() };
            self.time_out(&sent);
        }
    }

    #[track_caller]
    pub(super) fn expect_status(&self, expected: Status) {
        let status = self.saga.state.status();
        if status != expected {
            self.fail(&format!("expected the saga to be {expected:?}, but it is {status:?}"));
        }
        if !self.untold.is_empty() {
            self.fail(&format!("the saga is {status:?}, but {}", self.untold_or_nothing()));
        }
    }

    /// Why the saga is parked, if it is.
    pub(super) fn parked(&self) -> Option<&str> {
        match &self.saga.state {
            State::Parked(parked) => Some(&parked.reason),
            State::Running(_) | State::Compensating(_) | State::Provisional(_) => None,
            State::Completed(_) | State::Compensated(_) => None,
        }
    }

    fn untold_or_nothing(&self) -> String {
        let untold: Vec<String> = self.untold.iter().map(Sent::to_string).collect();
        match untold.is_empty() {
            true => "nothing was sent that is not told yet".into(),
            false => format!("this was sent and is not told yet: {}", untold.join(", ")),
        }
    }

    #[track_caller]
    pub(super) fn step(&self, name: &str) -> StepName {
        match self.plan.steps().iter().find(|step| step.name.as_str() == name) {
            Some(step) => step.name.clone(),
            None => self.fail(&format!("the definition has no step {name}")),
        }
    }

    /// What is known of a step, if the saga has come to it.
    pub(super) fn step_state(&self, step: &StepName) -> Option<&StepState> {
        let record = self.saga.state.steps().iter().find(|record| record.name == *step);
        record.map(|record| &record.state)
    }

    #[track_caller]
    pub(super) fn encode(&self, value: &impl Serialize) -> Payload {
        match Payload::encode(value) {
            Ok(body) => body,
            Err(error) => self.fail(&error.to_string()),
        }
    }

    #[track_caller]
    pub(super) fn decode<T: DeserializeOwned>(&self, body: &Payload) -> T {
        match body.decode() {
            Ok(value) => value,
            Err(error) => self.fail(&error.to_string()),
        }
    }

    /// Fails the test, with the whole tale.
    #[track_caller]
    pub(super) fn fail(&self, what: &str) -> ! {
        let mut tale = String::new();
        for (number, line) in self.tale.iter().enumerate() {
            tale += &format!("\n  {:>2}. {line}", number + 1);
        }
        panic!("{what}\n\nthe story so far:{tale}\n\nthe saga is {}", self.standing());
    }

    /// Where the saga stands: `Running, awaits do reserve`.
    fn standing(&self) -> String {
        let awaits = self.saga.state.steps().iter().filter_map(|record| {
            let (direction, asked) = record.state.awaited()?;
            Some(format!(", awaits {direction} {} (attempt {})", record.name, asked.attempt))
        });
        format!("{:?}{}", self.saga.state.status(), awaits.collect::<String>())
    }
}

/// An event and what was decided.
fn told(event: &Event, decision: &Decision) -> String {
    format!("{}: {decision}", name(event))
}

/// What happened, in a few words.
fn name(event: &Event) -> String {
    match event {
        Event::Started { .. } | Event::StartedBy { .. } => "started".into(),
        Event::Asked { direction, .. } => format!("its parent asks for {direction}"),
        Event::Released => "its parent releases it".into(),
        Event::Upgraded { from, to, .. } => format!("moved from version {from} to {to}"),
        Event::Replied { step, direction, answer, .. } => {
            format!("{direction} {step} is answered with {}", described(answer))
        }
        Event::TimerDue { step, direction, attempt } => {
            format!("no answer to {direction} {step}, attempt {attempt}")
        }
        Event::Signalled { step, signal } => format!("{step} is given {}", signal.as_text()),
        Event::Undeliverable { step, reason } => format!("{step} is undeliverable, {reason}"),
        Event::Cancel { reason } => format!("cancelled, {reason}"),
        Event::Retry { reason } => format!("an operator retries, {reason}"),
        Event::Resolve { step, resolution: Resolution::Done(reply), reason } => {
            format!("an operator resolves {step} as done {}, {reason}", reply.as_text())
        }
        Event::Resolve { step, resolution: Resolution::NotDone, reason } => {
            format!("an operator resolves {step} as not done, {reason}")
        }
        Event::Compensate { reason } => format!("an operator has it compensated, {reason}"),
    }
}

fn described(answer: &Answer) -> String {
    match answer {
        Answer::Done(body) | Answer::Refused(body) => format!("{} {}", answer.name(), body.as_text()),
        Answer::Fault(fault) => format!("{} {:?}", answer.name(), fault.message),
        Answer::Undone | Answer::Closed | Answer::Running => answer.name().into(),
    }
}

/// The saga that runs the one of a story.
pub(super) fn parent(asks: Direction) -> Parent {
    let (saga, reply_to) = (SagaId::from_uuid(Uuid::from_u128(SAGA + 1)), replies());
    Parent { saga, step: named("step"), reply_to, attempt: 1, asks: Some(asks) }
}

/// What that saga sends to take it back.
pub(super) fn taken_back() -> Event {
    Event::Asked { direction: Direction::Undo, attempt: 1, reply_to: replies() }
}

fn replies() -> Destination {
    named("parent")
}

fn named<T: FromStr<Err: std::fmt::Debug>>(name: &str) -> T {
    name.parse().unwrap_or_else(|error| panic!("{name}: {error:?}"))
}

/// A story has one saga; any UUIDv7 will do.
const SAGA: u128 = 0x0190_0000_0000_7000_8000_0000_0000_0001;

/// No policy in a test allows more attempts than this; beyond it a command is asked for ever.
const ATTEMPTS_MAX: u32 = 1000;
