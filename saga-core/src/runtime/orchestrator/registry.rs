//! The definitions that this process knows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::local::is_local;
use crate::definition::{DefinitionRef, Plan, StepPlan};
use crate::id::{Destination, ParticipantName};

/// Plans by their reference; several versions of one saga may stand side by side.
#[derive(Clone, Default)]
pub(super) struct Registry {
    plans: BTreeMap<DefinitionRef, Arc<Plan>>,
    /// Those that other sagas may run.
    sub_sagas: BTreeSet<DefinitionRef>,
}

impl Registry {
    /// Adds a plan. Tells whether no other plan had its name and version.
    pub(super) fn add(&mut self, plan: Arc<Plan>) -> bool {
        let reference = plan.reference().clone();
        let taken =
            self.plans.keys().any(|known| known.name == reference.name && known.version == reference.version);
        self.plans.insert(reference, plan);
        !taken
    }

    /// Lets other sagas run a plan that was added.
    pub(super) fn open_to_parents(&mut self, plan: &Plan) {
        self.sub_sagas.insert(plan.reference().clone());
    }

    /// The plan that a saga takes which another one runs by this name.
    pub(super) fn sub_saga(&self, name: &str) -> Option<&Arc<Plan>> {
        let named = self.sub_sagas.iter().filter(|known| known.name.as_str() == name);
        self.plans.get(named.max_by_key(|known| known.version)?)
    }

    /// The plan that a saga began with.
    pub(super) fn plan(&self, reference: &DefinitionRef) -> Option<&Arc<Plan>> {
        self.plans.get(reference)
    }

    /// The plan that new sagas of this type take.
    pub(super) fn newest(&self, name: &str) -> Option<&Arc<Plan>> {
        let named = self.plans.values().filter(|plan| plan.reference().name.as_str() == name);
        named.max_by_key(|plan| plan.reference().version)
    }

    pub(super) fn plans(&self) -> impl Iterator<Item = &Plan> {
        self.plans.values().map(|plan| &**plan)
    }

    pub(super) fn references(&self) -> Vec<DefinitionRef> {
        self.plans.keys().cloned().collect()
    }

    /// Who takes the commands of each definition.
    pub(super) fn participants(&self) -> Vec<(DefinitionRef, Vec<ParticipantName>)> {
        let of_plan = |plan: &Arc<Plan>| {
            // Local steps have no fence rows, and a saga that a step runs is its own.
            let sending = plan.steps().iter().filter(|step| !is_local(step) && step.sub_saga().is_none());
            let commands = sending.filter_map(StepPlan::command);
            commands.map(|command| command.participant.clone()).collect()
        };
        self.plans.iter().map(|(reference, plan)| (reference.clone(), of_plan(plan))).collect()
    }

    /// Every destination that some step's messages go to.
    pub(super) fn destinations(&self) -> Vec<Destination> {
        let steps = self.plans().flat_map(Plan::steps);
        let sending = steps.filter(|step| !is_local(step));
        let mut destinations: Vec<_> = sending.flat_map(StepPlan::destinations).collect();
        destinations.sort();
        destinations.dedup();
        destinations
    }
}
