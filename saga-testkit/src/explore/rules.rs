//! What is explored, and by which rules. Shared by all threads of a search.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

use saga_core::definition::{Plan, StepPlan};
use saga_core::fence::{FenceState, Verdict};
use saga_core::id::{Direction, StepName};
use saga_core::machine::{Applied, Event, Instance, TransitionError, UpgradeError};
use saga_core::message::Payload;
use saga_core::policy::Timestamp;

use super::Faults;
use super::children::{self, Ask};
use super::external::DecideExternal;
use super::participants::Participants;
use super::scene::Condition;
use super::table::Table;

/// The machine's door for events.
pub(super) type Apply = fn(&Plan, &Instance, &Event, Timestamp) -> Result<Applied, TransitionError>;

/// How it is decided whether a saga moves to a newer version.
pub(super) type Upgrade = fn(&Plan, &Instance) -> Result<Event, UpgradeError>;

/// The fence's table.
pub(super) type Decide = fn(Option<&FenceState>, Direction) -> Verdict;

/// What is explored, and by which rules.
pub(super) struct Rules<M> {
    /// The definition that is explored, and behind it newer versions and those that steps run, and theirs.
    pub(super) plans: Vec<Arc<Plan>>,
    /// The versions to which sagas of each plan may move.
    pub(super) newer: Vec<Vec<u32>>,
    /// How many sagas were given. Their places come first, those of sagas that steps run behind them.
    pub(super) given: usize,
    /// The sagas that steps run: by the place of the saga whose step it is, and the number of the step.
    pub(super) children: Table<(usize, u32)>,
    pub(super) faults: Faults,
    pub(super) apply: Apply,
    pub(super) upgrade: Upgrade,
    pub(super) ask: Ask,
    pub(super) decide: Decide,
    pub(super) decide_external: DecideExternal,
    /// Whether rows are watched behind which a call may land. Tests forget to.
    pub(super) watches: bool,
    /// The command types whose participants call another system.
    pub(super) external: HashSet<&'static str>,
    pub(super) participants: Participants<M>,
    /// The signals that may come, and the steps that wait for them.
    pub(super) signals: Vec<(u32, u32)>,
    pub(super) invariants: Vec<Condition<M>>,
    pub(super) finals: Vec<Condition<M>>,
    pub(super) models: Table<M>,
    pub(super) instances: Table<Instance>,
    pub(super) rows: Table<FenceState>,
    pub(super) payloads: Table<Payload>,
    steps: Table<(u32, StepName)>,
    /// The plan and the place of each step that is no item, by its number.
    places: Vec<(u32, usize)>,
    /// For each step of each plan, the first plan that has the same step: what several versions share has one number.
    origins: Vec<Vec<u32>>,
}

impl<M: Clone + Eq + Hash> Rules<M> {
    pub(super) fn new(plans: Vec<Arc<Plan>>, faults: Faults) -> Self {
        let (steps, mut places, origins) = (Table::new(), Vec::new(), origins(&plans));
        for (number, plan) in plans.iter().enumerate() {
            for (place, step) in plan.steps().iter().enumerate() {
                if origins[number][place] == number as u32 {
                    steps.number((number as u32, step.name.clone()));
                    places.push((number as u32, place));
                }
            }
        }
        Rules {
            newer: newer(&plans),
            plans,
            given: 0,
            children: Table::new(),
            faults,
            apply: saga_core::machine::apply,
            upgrade: saga_core::machine::upgrade,
            ask: children::ask,
            decide: saga_core::fence::decide,
            decide_external: saga_core::fence::decide_external,
            watches: true,
            external: HashSet::new(),
            participants: Participants::new(),
            signals: Vec::new(),
            invariants: Vec::new(),
            finals: Vec::new(),
            models: Table::new(),
            instances: Table::new(),
            rows: Table::new(),
            payloads: Table::new(),
            steps,
            places,
            origins,
        }
    }
}

/// The versions to which sagas of each plan may move, by number.
fn newer(plans: &[Arc<Plan>]) -> Vec<Vec<u32>> {
    let is_newer = |plan: &Plan, of: &Plan| {
        plan.reference().name == of.reference().name && plan.reference().version > of.reference().version
    };
    let numbered = || (0..).zip(plans);
    let of = |older: &Plan| {
        numbered().filter(|(_, plan)| is_newer(plan, older)).map(|(number, _)| number).collect()
    };
    plans.iter().map(|plan| of(plan)).collect()
}

fn origins(plans: &[Arc<Plan>]) -> Vec<Vec<u32>> {
    let lines: Vec<String> = plans.iter().map(|plan| plan.graph().replace(" & ", "\n")).collect();
    let same_saga = |plan: usize, other: usize| plans[plan].reference().name == plans[other].reference().name;
    let origin = |plan: usize, line: &str| {
        let has_it =
            |other: &usize| same_saga(plan, *other) && lines[*other].lines().any(|same| same == line);
        (0..plan).find(has_it).unwrap_or(plan) as u32
    };
    (0..plans.len()).map(|plan| lines[plan].lines().map(|line| origin(plan, line)).collect()).collect()
}

impl<M> Rules<M> {
    /// The plan that a saga follows, and its number.
    pub(super) fn plan_of(&self, saga: &Instance) -> (u32, &Arc<Plan>) {
        let number = self.plans.iter().position(|plan| *plan.reference() == saga.definition);
        let number = number.unwrap_or_default();
        (number as u32, &self.plans[number])
    }

    /// The number of a step of the plan with this number. Those of the plans come first, their items behind them.
    pub(super) fn number(&self, plan: u32, step: &StepName) -> u32 {
        let place = self.plans[plan as usize].position_of(step);
        let origin = place.map_or(plan, |place| self.origins[plan as usize][place]);
        self.steps.number((origin, step.clone()))
    }

    pub(super) fn name(&self, step: u32) -> StepName {
        self.steps.value(step).1.clone()
    }

    /// The plan of the step with this number, and its place there.
    pub(super) fn place(&self, step: u32) -> (&Arc<Plan>, usize) {
        let (plan, place) = self.places.get(step as usize).copied().unwrap_or_else(|| {
            let (plan, name) = &*self.steps.value(step);
            (*plan, self.plans[*plan as usize].position_of(name).unwrap_or_default())
        });
        (&self.plans[plan as usize], place)
    }

    pub(super) fn step(&self, step: u32) -> &StepPlan {
        let (plan, place) = self.place(step);
        &plan.steps()[place]
    }
}
