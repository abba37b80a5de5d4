//! What the orchestrators of a simulation know.

use std::sync::Arc;

use saga_core::definition::Plan;
use saga_core::runtime::{OrchestratorBuilder, SagaLimits};
use saga_core::{Definition, Saga, SubSaga};

use super::stage::Ports;

type Builder = OrchestratorBuilder<Ports>;
type Tell = Arc<dyn Fn(Builder) -> Builder + Send + Sync>;

/// Definitions, and how an orchestrator is told of them, with their types erased.
#[derive(Clone)]
pub(super) struct Registered {
    plans: Vec<Arc<Plan>>,
    telling: Vec<Tell>,
    /// What only the newest build knows.
    newest: Vec<Tell>,
}

impl Registered {
    /// The definition of the sagas that are started.
    pub(super) fn of<S: Saga>(definition: &Definition<S>) -> Self {
        let mut registered = Registered { plans: Vec::new(), telling: Vec::new(), newest: Vec::new() };
        let told = definition.clone();
        registered.add(definition.plan(), move |builder| builder.register(&told));
        registered
    }

    /// A definition of sagas that others run as a step.
    pub(super) fn sub_saga<S: SubSaga>(&mut self, definition: &Definition<S>) {
        let told = definition.clone();
        self.add(definition.plan(), move |builder| builder.register_sub_saga(&told));
    }

    /// A newer version, to which sagas of those before it may move.
    pub(super) fn upgrade<S: Saga>(&mut self, newer: &Definition<S>) {
        let told = newer.clone();
        self.plans.push(newer.plan().clone());
        self.newest.push(Arc::new(move |builder| builder.register(&told)));
    }

    /// Limits how many sagas of this type may be under way.
    pub(super) fn limit<S: Saga>(&mut self, limits: SagaLimits) {
        self.telling.push(Arc::new(move |builder| builder.limit::<S>(limits)));
    }

    /// Whether there are builds that know less than others.
    pub(super) fn has_upgrade(&self) -> bool {
        !self.newest.is_empty()
    }

    fn add(&mut self, plan: &Arc<Plan>, tell: impl Fn(Builder) -> Builder + Send + Sync + 'static) {
        self.plans.push(plan.clone());
        self.telling.push(Arc::new(tell));
    }

    /// All plans, first that of the sagas that are started.
    pub(super) fn plans(&self) -> &[Arc<Plan>] {
        &self.plans
    }

    /// Tells an orchestrator all that its build knows.
    pub(super) fn tell(&self, builder: Builder, is_newest: bool) -> Builder {
        let newest = self.newest.iter().filter(|_| is_newest);
        self.telling.iter().chain(newest).fold(builder, |builder, tell| tell(builder))
    }
}
