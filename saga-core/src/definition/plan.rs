//! What a definition becomes: groups of steps with names and policies, and the code behind them.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::draft::canonical;
use super::items::ITEM_MARK;
use super::script::Script;
use super::upgrade::Upgrade;
use super::{DefinitionRef, Page, Saga, ScriptError};
use crate::id::{CommandType, Destination, ParticipantName, SagaName, StepName};
use crate::message::{Local, Participant, Payload};
use crate::policy::Retry;

/// A saga's definition, built and checked. Cheap to clone.
pub struct Definition<S> {
    plan: Arc<Plan>,
    saga: PhantomData<fn(S)>,
}

impl<S: Saga> Definition<S> {
    pub(super) fn new(plan: Plan) -> Self {
        Definition { plan: Arc::new(plan), saga: PhantomData }
    }

    /// The plan, without the saga's type.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }
}

impl<S> Clone for Definition<S> {
    fn clone(&self) -> Self {
        Definition { plan: self.plan.clone(), saga: PhantomData }
    }
}

impl<S> fmt::Debug for Definition<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.plan.fmt(f)
    }
}

/// The graph of a definition: what is sent to whom, in which order, and what undoes it.
pub struct Plan {
    pub(super) reference: DefinitionRef,
    pub(super) steps: Vec<StepPlan>,
    pub(super) groups: Vec<Range<usize>>,
    pub(super) deadline: Option<Duration>,
    pub(super) script: Box<dyn Script>,
    pub(super) upgrades: Vec<Upgrade>,
}

impl Plan {
    /// The definition's name, version and fingerprint.
    pub fn reference(&self) -> &DefinitionRef {
        &self.reference
    }

    /// All steps, in the order of the definition.
    pub fn steps(&self) -> &[StepPlan] {
        &self.steps
    }

    /// The groups in the order they are run, as ranges of [`steps`](Plan::steps). Most hold one step.
    pub fn groups(&self) -> &[Range<usize>] {
        &self.groups
    }

    /// How long the saga may take to come to its pivot, or to its end if it has none.
    pub fn deadline(&self) -> Option<Duration> {
        self.deadline
    }

    /// The graph as text: what must not change under a running saga, and what the fingerprint is of.
    ///
    /// A line for each group; `&` stands between the steps of one. Retry options may change, so they are left out.
    pub fn graph(&self) -> String {
        canonical(&self.steps, &self.groups)
    }

    /// Whether a saga may run this one as a step: it has no pivot, so it can be taken back until its end.
    pub fn can_be_sub_saga(&self) -> bool {
        !self.steps.iter().any(|step| matches!(step.role, Role::Pivot))
    }

    /// The place of the step `name`.
    pub fn position(&self, name: &StepName) -> Option<usize> {
        self.steps.iter().position(|step| step.name == *name)
    }

    /// The least reply that the step at `place` takes, or the least signal that is a yes. For tests that need some:
    /// see [`Payload::least`].
    ///
    /// # Errors
    ///
    /// [`ScriptError`] if it cannot be guessed.
    pub fn least_reply(&self, place: usize) -> Result<Payload, ScriptError> {
        let [reply, _] = self.script.least(place);
        reply
    }

    /// The least refusal that the step at `place` takes, or the least signal that is a no.
    ///
    /// # Errors
    ///
    /// [`ScriptError`] if it cannot be guessed.
    pub fn least_refusal(&self, place: usize) -> Result<Payload, ScriptError> {
        let [_, refusal] = self.script.least(place);
        refusal
    }

    /// The place of the step that `name` is a part of: its own, or with the key of an item behind a `#`.
    pub fn position_of(&self, name: &StepName) -> Option<usize> {
        self.position(name).or_else(|| self.steps.iter().position(|step| step.is_item(name)))
    }

    /// How a saga of the definition `from` moves to this one, if it may at all.
    pub(crate) fn upgrade(&self, from: &DefinitionRef) -> Option<&Upgrade> {
        self.upgrades.iter().find(|upgrade| upgrade.from.reference == *from)
    }

    /// The older versions whose sagas may move to this one.
    pub fn older(&self) -> impl Iterator<Item = &Arc<Plan>> {
        self.upgrades.iter().map(|upgrade| &upgrade.from)
    }

    /// This version or, of those that lead to it, the one with this number.
    pub(crate) fn at_version(&self, version: u32) -> Option<&Plan> {
        if self.reference.version == version {
            return Some(self);
        }
        self.older().find_map(|older| older.at_version(version))
    }

    pub(crate) fn open(&self, data: &Payload) -> Result<Box<dyn Page + '_>, ScriptError> {
        self.script.open(data)
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan")
            .field("reference", &self.reference)
            .field("steps", &self.steps)
            .finish_non_exhaustive()
    }
}

/// One step of a plan.
#[derive(Clone, Debug)]
pub struct StepPlan {
    /// The step's name.
    pub name: StepName,
    /// What it promises.
    pub role: Role,
    /// What is done in it.
    pub work: Work,
    /// Whether the saga's data decides if it is run.
    pub conditional: bool,
    /// For a step that is run for each of several items: how many at once.
    pub items_at_once: Option<usize>,
}

/// What is done in a step.
#[derive(Clone, Debug)]
pub enum Work {
    /// A command is sent, and its answer awaited.
    Command(CommandPlan),
    /// Somebody is told something, and nothing is awaited.
    Notification(NotificationPlan),
    /// A signal is awaited.
    Signal {
        /// How long.
        deadline: Duration,
    },
    /// Time is let pass. How much, the saga's data says.
    Pause,
}

/// The command of a step.
#[derive(Clone, Debug)]
pub struct CommandPlan {
    /// Who takes it.
    pub participant: ParticipantName,
    /// What it is called.
    pub command_type: CommandType,
    /// How it is retried.
    pub retry: Retry,
    /// The saga that it runs, if it runs one.
    pub sub_saga: Option<SagaName>,
}

/// The notification of a step.
#[derive(Clone, Debug)]
pub struct NotificationPlan {
    /// What it is called.
    pub notification_type: CommandType,
    /// Where it is sent.
    pub topics: Vec<Destination>,
}

impl CommandPlan {
    /// Where the step's messages are sent.
    pub fn destination(&self) -> Destination {
        Destination::of(&self.participant)
    }

    /// Whether it is no message at all, but work in the orchestrator's own database.
    pub fn is_local(&self) -> bool {
        self.participant.as_str() == Local::NAME
    }
}

impl StepPlan {
    /// Whether `name` is that of the step for one of its items.
    pub fn is_item(&self, name: &StepName) -> bool {
        let rest = name.as_str().strip_prefix(self.name.as_str());
        self.items_at_once.is_some() && rest.is_some_and(|rest| rest.starts_with(ITEM_MARK))
    }

    /// The saga that the step runs, if it runs one.
    pub fn sub_saga(&self) -> Option<&SagaName> {
        self.command().and_then(|command| command.sub_saga.as_ref())
    }

    /// The step's command, if it sends one.
    pub const fn command(&self) -> Option<&CommandPlan> {
        match &self.work {
            Work::Command(command) => Some(command),
            Work::Notification(_) | Work::Signal { .. } | Work::Pause => None,
        }
    }

    /// Where the step's messages are sent.
    pub fn destinations(&self) -> Vec<Destination> {
        match &self.work {
            Work::Command(command) => vec![command.destination()],
            Work::Notification(told) => told.topics.clone(),
            Work::Signal { .. } | Work::Pause => Vec::new(),
        }
    }

    /// How the step's command is retried. A signal is awaited once, a notification is told once, and a pause made once.
    pub fn retry(&self) -> Retry {
        match &self.work {
            Work::Command(command) => command.retry,
            Work::Notification(_) | Work::Pause => Retry::default(),
            Work::Signal { deadline } => Retry::default().attempts(1).timeout(*deadline),
        }
    }

    /// How the step is undone, if it can be.
    pub const fn undo(&self) -> Option<&UndoPlan> {
        match &self.role {
            Role::Compensatable(undo) => Some(undo),
            Role::NothingToUndo | Role::Pivot | Role::Retriable => None,
        }
    }
}

/// What a step promises, and so where it may stand.
#[derive(Clone, Debug)]
pub enum Role {
    /// It can be taken back.
    Compensatable(UndoPlan),
    /// It leaves nothing to take back.
    NothingToUndo,
    /// It is the point of no return.
    Pivot,
    /// It succeeds in the end.
    Retriable,
}

impl Role {
    /// The role's name in drawings and fingerprints.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Role::Compensatable(_) => "compensatable",
            Role::NothingToUndo => "nothing-to-undo",
            Role::Pivot => "pivot",
            Role::Retriable => "retriable",
        }
    }
}

/// How a step is undone.
#[derive(Clone, Debug)]
pub struct UndoPlan {
    /// What the undo command is called.
    pub command_type: CommandType,
    /// How it is retried.
    pub retry: Retry,
}
