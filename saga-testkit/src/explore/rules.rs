//! What is explored, and by which rules. Shared by all threads of a search.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

use saga_core::definition::{Plan, StepPlan};
use saga_core::fence::{FenceState, Verdict};
use saga_core::id::{Direction, StepName};
use saga_core::machine::{Applied, Event, Instance, TransitionError};
use saga_core::message::Payload;
use saga_core::policy::Timestamp;

use super::Faults;
use super::children::{self, Ask, Slot};
use super::external::DecideExternal;
use super::participants::Participants;
use super::scene::Condition;
use super::table::Table;

/// The machine's door for events.
pub(super) type Apply = fn(&Plan, &Instance, &Event, Timestamp) -> Result<Applied, TransitionError>;

/// The fence's table.
pub(super) type Decide = fn(Option<&FenceState>, Direction) -> Verdict;

/// What is explored, and by which rules.
pub(super) struct Rules<M> {
    /// The definition that is explored, and behind it those that its steps run, and theirs.
    pub(super) plans: Vec<Arc<Plan>>,
    /// A place for each saga that there may be; those that were given come first.
    pub(super) slots: Vec<Slot>,
    pub(super) faults: Faults,
    pub(super) apply: Apply,
    pub(super) ask: Ask,
    pub(super) decide: Decide,
    pub(super) decide_external: DecideExternal,
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
}

impl<M: Clone + Eq + Hash> Rules<M> {
    pub(super) fn new(plans: Vec<Arc<Plan>>, faults: Faults) -> Self {
        let (steps, mut places) = (Table::new(), Vec::new());
        for (number, plan) in plans.iter().enumerate() {
            for (place, step) in plan.steps().iter().enumerate() {
                steps.number((number as u32, step.name.clone()));
                places.push((number as u32, place));
            }
        }
        Rules {
            plans,
            slots: Vec::new(),
            faults,
            apply: saga_core::machine::apply,
            ask: children::ask,
            decide: saga_core::fence::decide,
            decide_external: saga_core::fence::decide_external,
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
        }
    }
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
        self.steps.number((plan, step.clone()))
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
