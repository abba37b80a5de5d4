//! The definitions that this process knows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::{debug, error};

use super::local::is_local;
use crate::definition::{DefinitionRef, Plan, StepPlan};
use crate::id::{Destination, ParticipantName, SagaId};
use crate::machine::{self, Event, Instance};

/// Plans by their reference; several versions of one saga may stand side by side.
#[derive(Clone, Default)]
pub(super) struct Registry {
    plans: BTreeMap<DefinitionRef, Arc<Plan>>,
    /// Those that other sagas may run.
    sub_sagas: BTreeSet<DefinitionRef>,
    /// Sagas that the store would not let move, and to which plan. Shared by all clones.
    staying: Arc<Mutex<BTreeSet<(SagaId, DefinitionRef)>>>,
    /// Versions whose sagas may move to one of the plans. Those that may not yet are run as they began.
    older: BTreeMap<DefinitionRef, Arc<Plan>>,
}

impl Registry {
    /// Adds a plan. Tells whether no other plan had its name and version.
    pub(super) fn add(&mut self, plan: Arc<Plan>) -> bool {
        let reference = plan.reference().clone();
        let taken =
            self.plans.keys().any(|known| known.name == reference.name && known.version == reference.version);
        self.add_older(&plan);
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

    fn add_older(&mut self, plan: &Plan) {
        for older in plan.older() {
            self.older.insert(older.reference().clone(), older.clone());
            self.add_older(older);
        }
    }

    /// The plan that a saga has.
    pub(super) fn plan(&self, reference: &DefinitionRef) -> Option<&Arc<Plan>> {
        self.plans.get(reference).or_else(|| self.older.get(reference))
    }

    /// The newest plan that a saga may move to now, with the event that moves it.
    pub(super) fn upgrade(&self, saga: &Instance) -> Option<(&Arc<Plan>, Event)> {
        let newer = self.plans.values().rev().filter(|plan| plan.upgrade(&saga.definition).is_some());
        let newer = newer.filter(|plan| !self.staying().contains(&(saga.id, plan.reference().clone())));
        newer.filter(|plan| plan.reference().name == saga.definition.name).find_map(|plan| {
            match machine::upgrade(plan, saga) {
                Ok(event) => Some((plan, event)),
                Err(why) => {
                    debug!(saga = %saga.id, definition = %saga.definition, to = %plan.reference(), %why, "a saga stays with its version");
                    None
                }
            }
        })
    }

    /// Has a saga stay with the version it has, because the store would not take its move to this one: another process has
    /// registered another definition in its place, for example.
    pub(super) fn stays(&self, saga: SagaId, newer: &DefinitionRef, why: &str) {
        error!(%saga, definition = %newer, why, "a saga stays with its version, because the store refused its move to this one");
        self.staying().insert((saga, newer.clone()));
    }

    fn staying(&self) -> MutexGuard<'_, BTreeSet<(SagaId, DefinitionRef)>> {
        self.staying.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The plan that new sagas of this type take.
    pub(super) fn newest(&self, name: &str) -> Option<&Arc<Plan>> {
        let named = self.plans.values().filter(|plan| plan.reference().name.as_str() == name);
        named.max_by_key(|plan| plan.reference().version)
    }

    /// All plans, those of older versions as well.
    pub(super) fn plans(&self) -> impl Iterator<Item = &Plan> {
        let older = self.older.iter().filter(|(reference, _)| !self.plans.contains_key(*reference));
        self.plans.values().chain(older.map(|(_, plan)| plan)).map(|plan| &**plan)
    }

    pub(super) fn references(&self) -> Vec<DefinitionRef> {
        self.plans().map(|plan| plan.reference().clone()).collect()
    }

    /// Who takes the commands of each definition, and so hears of the ends of its sagas.
    pub(super) fn participants(&self) -> Vec<(DefinitionRef, Vec<ParticipantName>)> {
        let of_plan = |plan: &Plan| {
            // Local steps have no fence rows. A saga that a step runs is its own, and is kept by who runs it.
            let commands = plan.steps().iter().filter(|step| !is_local(step)).filter_map(StepPlan::command);
            let participants = commands.map(|command| command.participant.clone());
            (plan.reference().clone(), participants.collect())
        };
        self.plans().map(of_plan).collect()
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
