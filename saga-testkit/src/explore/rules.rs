//! What is explored, and by which rules. Shared by all threads of a search.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

use saga_core::definition::Plan;
use saga_core::fence::{FenceState, Verdict};
use saga_core::id::{Direction, StepName};
use saga_core::machine::{Applied, Event, Instance, TransitionError};
use saga_core::message::Payload;
use saga_core::policy::Timestamp;

use super::Faults;
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
    pub(super) plan: Arc<Plan>,
    pub(super) faults: Faults,
    pub(super) apply: Apply,
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
    pub(super) steps: Table<StepName>,
}

impl<M: Clone + Eq + Hash> Rules<M> {
    pub(super) fn new(plan: Arc<Plan>, faults: Faults) -> Self {
        let steps = Table::new();
        for step in plan.steps() {
            steps.number(step.name.clone());
        }
        Rules {
            plan,
            faults,
            apply: saga_core::machine::apply,
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
        }
    }
}

impl<M> Rules<M> {
    /// The place in the plan of the step with this number. Steps are numbered in the plan's order, items behind them.
    pub(super) fn place(&self, step: u32) -> usize {
        let place = step as usize;
        match place < self.plan.steps().len() {
            true => place,
            false => self.plan.position_of(&self.steps.value(step)).unwrap_or_default(),
        }
    }
}
