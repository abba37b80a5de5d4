//! What the orchestrators of a simulation know.

use std::sync::Arc;

use saga_core::definition::Plan;
use saga_core::runtime::OrchestratorBuilder;
use saga_core::{Definition, Saga, SubSaga};

use super::stage::Ports;

type Builder = OrchestratorBuilder<Ports>;

/// Definitions, and how an orchestrator is told of them, with their types erased.
#[derive(Clone)]
pub(super) struct Registered {
    plans: Vec<Arc<Plan>>,
    telling: Vec<Arc<dyn Fn(Builder) -> Builder + Send + Sync>>,
}

impl Registered {
    /// The definition of the sagas that are started.
    pub(super) fn of<S: Saga>(definition: &Definition<S>) -> Self {
        let mut registered = Registered { plans: Vec::new(), telling: Vec::new() };
        let told = definition.clone();
        registered.add(definition.plan(), move |builder| builder.register(&told));
        registered
    }

    /// A definition of sagas that others run as a step.
    pub(super) fn sub_saga<S: SubSaga>(&mut self, definition: &Definition<S>) {
        let told = definition.clone();
        self.add(definition.plan(), move |builder| builder.register_sub_saga(&told));
    }

    fn add(&mut self, plan: &Arc<Plan>, tell: impl Fn(Builder) -> Builder + Send + Sync + 'static) {
        self.plans.push(plan.clone());
        self.telling.push(Arc::new(tell));
    }

    /// All plans, first that of the sagas that are started.
    pub(super) fn plans(&self) -> &[Arc<Plan>] {
        &self.plans
    }

    pub(super) fn tell(&self, builder: Builder) -> Builder {
        self.telling.iter().fold(builder, |builder, tell| tell(builder))
    }
}
