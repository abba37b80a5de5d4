//! What a user says of an exploration.

use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::Hash;
use std::marker::PhantomData;
use std::sync::Arc;

use saga_core::definition::Plan;
use saga_core::message::Payload;
use saga_core::runtime::Reply;
use saga_core::{Command, Definition, Saga, Signal, SubSaga, Undoes};

use super::Faults;
use super::beginning::{begin, signals};
use super::children::{self, Ask};
use super::external::DecideExternal;
use super::participants::Participants;
use super::report::Report;
use super::rules::{Apply, Decide, Rules, Upgrade};
use super::scene::{Condition, Scene};
use super::search::{Found, Search, Searched};
use super::trace::{self, label};
use super::walker::Walker;
use super::world::World;

/// Begins the exploration of a saga. Nothing more need be said: `explore(&definition).run().assert_ok()`.
///
/// Without more, one saga runs with the least data of its type, every participant does what it is asked or refuses,
/// and everything goes wrong that can.
pub fn explore<S: Saga>(definition: &Definition<S>) -> Explorer<S, ()> {
    Explorer {
        plans: vec![definition.plan().clone()],
        sagas: Vec::new(),
        model: (),
        faults: Faults::all(),
        states_max: STATES_MAX,
        apply: saga_core::machine::apply,
        upgrade: saga_core::machine::upgrade,
        ask: children::ask,
        decide: saga_core::fence::decide,
        decide_external: saga_core::fence::decide_external,
        external: HashSet::new(),
        participants: Participants::new(),
        invariants: Vec::new(),
        finals: Vec::new(),
        signals: Vec::new(),
        saga: PhantomData,
    }
}

/// An exploration under construction. `M` is what the participants keep.
#[must_use = "an exploration does nothing until it is run"]
pub struct Explorer<S, M> {
    /// The saga's, newer ones of it, those of the sagas that steps run, and those of sagas beside it.
    plans: Vec<Arc<Plan>>,
    /// Which plan each saga begins with, and its data.
    sagas: Vec<(usize, Payload)>,
    model: M,
    faults: Faults,
    states_max: usize,
    pub(super) apply: Apply,
    pub(super) upgrade: Upgrade,
    pub(super) ask: Ask,
    decide: Decide,
    decide_external: DecideExternal,
    external: HashSet<&'static str>,
    participants: Participants<M>,
    invariants: Vec<Condition<M>>,
    finals: Vec<Condition<M>>,
    signals: Vec<(&'static str, Payload)>,
    saga: PhantomData<fn(S)>,
}

impl<S: Saga> Explorer<S, ()> {
    /// Gives the participants something to keep: accounts, shelves, whatever the sagas share.
    ///
    /// # Panics
    ///
    /// Panics if handlers or conditions were given before, which are for no model.
    pub fn model<M: Clone>(self, model: M) -> Explorer<S, M> {
        let Explorer { plans, sagas, faults, states_max, apply, upgrade, ask, signals, saga, .. } = self;
        let Explorer { decide, decide_external, external, .. } = self;
        assert!(
            self.participants.known_types().next().is_none()
                && self.invariants.is_empty()
                && self.finals.is_empty(),
            "give the model first, then its handlers and conditions"
        );
        let (participants, invariants, finals) = (Participants::new(), Vec::new(), Vec::new());
        Explorer {
            plans,
            sagas,
            model,
            faults,
            states_max,
            apply,
            upgrade,
            ask,
            decide,
            decide_external,
            external,
            participants,
            invariants,
            finals,
            signals,
            saga,
        }
    }
}

impl<S: Saga, M: Clone + Debug + Eq + Hash + Send + Sync> Explorer<S, M> {
    /// Adds a saga that starts with this data. All that are added run at the same time.
    ///
    /// # Panics
    ///
    /// Panics if the data has no JSON form.
    #[track_caller]
    pub fn saga(mut self, data: &S) -> Self {
        self.sagas.push((0, encoded(data)));
        self
    }

    /// Adds a saga of another type that runs at the same time: what the two share is in the model.
    ///
    /// Its signals are the least yes and the least no of their types.
    ///
    /// # Panics
    ///
    /// Panics if the data has no JSON form.
    #[track_caller]
    pub fn beside<T: Saga>(mut self, definition: &Definition<T>, data: &T) -> Self {
        let known = self.plans.iter().position(|plan| plan.reference() == definition.plan().reference());
        self.sagas.push((known.unwrap_or(self.plans.len()), encoded(data)));
        if known.is_none() {
            self.plans.push(definition.plan().clone());
        }
        self
    }

    /// Adds the definition of a saga that steps run: of this one, or of those that it runs. It is explored with them.
    pub fn sub_saga<C: SubSaga>(mut self, definition: &Definition<C>) -> Self {
        self.plans.push(definition.plan().clone());
        self
    }

    /// Adds a newer version, of the saga or of one that steps run. Sagas begin with the version that was given first,
    /// and may move to this one at any moment at which it takes them.
    pub fn upgrade_to<T: Saga>(mut self, newer: &Definition<T>) -> Self {
        self.plans.push(newer.plan().clone());
        self
    }

    /// Says what goes wrong. [`Faults::all`] by default.
    pub fn faults(self, faults: Faults) -> Self {
        Explorer { faults, ..self }
    }

    /// Stops the search beyond so many states. Five million by default, which take about half a gigabyte.
    pub fn states_max(self, states_max: usize) -> Self {
        Explorer { states_max, ..self }
    }

    /// Takes another table for the fence's, to explore a fence of your own.
    pub fn fence(self, decide: Decide) -> Self {
        Explorer { decide, ..self }
    }

    /// Takes another table for that of external handlers, to explore a fence of your own.
    pub fn external_fence(self, decide: DecideExternal) -> Self {
        Explorer { decide_external: decide, ..self }
    }

    /// Says that the handler of command `C` calls another system, between two transactions. Then calls land late, come
    /// back without an answer, and lose their workers. Such a handler has no part in the model.
    pub fn external<C: Command>(mut self) -> Self {
        self.external.insert(C::TYPE);
        self
    }

    /// Says what the handler of command `C` does to the model. Like the machine it is pure; when it refuses, what it
    /// changed is rolled back.
    pub fn handle<C: Command>(
        mut self,
        handle: impl Fn(&mut M, C) -> Reply<C> + Send + Sync + 'static,
    ) -> Self {
        self.participants.handle(handle);
        self
    }

    /// Says what the undo `U` of command `C` does to the model, given what the handler had answered.
    pub fn undo<C: Command, U: Undoes<C>>(
        mut self,
        undo: impl Fn(&mut M, U, C::Reply) + Send + Sync + 'static,
    ) -> Self {
        self.participants.undo::<C, U>(undo);
        self
    }

    /// Adds a reply to command `C`, for a participant without a model. With several, each is tried.
    ///
    /// # Panics
    ///
    /// Panics if the reply has no JSON form.
    #[track_caller]
    pub fn reply<C: Command>(mut self, reply: &C::Reply) -> Self {
        let reply =
            Payload::encode(reply).unwrap_or_else(|error| panic!("the reply to {}: {error}", C::TYPE));
        self.participants.replies.entry(C::TYPE).or_default().push(reply);
        self
    }

    /// Adds a refusal of command `C`. With several, each is tried; a handler's own answer is too.
    ///
    /// # Panics
    ///
    /// Panics if the refusal has no JSON form.
    #[track_caller]
    pub fn refusal<C: Command>(mut self, why: &C::Refusal) -> Self {
        let why = Payload::encode(why).unwrap_or_else(|error| panic!("the refusal of {}: {error}", C::TYPE));
        self.participants.refusals.entry(C::TYPE).or_default().push(why);
        self
    }

    /// Adds a signal that may come from outside at any time. Without any, the least yes and the least no may.
    ///
    /// # Panics
    ///
    /// Panics if the signal has no JSON form.
    #[track_caller]
    pub fn signal<T: Signal<S>>(mut self, signal: &T) -> Self {
        let signal =
            Payload::encode(signal).unwrap_or_else(|error| panic!("the signal {}: {error}", T::NAME));
        self.signals.push((T::NAME, signal));
        self
    }

    /// Says what must hold in every state.
    pub fn invariant(
        mut self,
        name: impl Into<String>,
        holds: impl Fn(&Scene<'_, M>) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.invariants.push(Condition { name: name.into(), holds: Box::new(holds) });
        self
    }

    /// Says what must hold once every saga has ended, and ever after, whatever arrives late.
    pub fn finally(
        mut self,
        name: impl Into<String>,
        holds: impl Fn(&Scene<'_, M>) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.finals.push(Condition { name: name.into(), holds: Box::new(holds) });
        self
    }

    /// Searches every state.
    ///
    /// # Panics
    ///
    /// Panics if the exploration itself makes no sense: a handler of a command that the saga does not send, a
    /// handler without the undo that belongs to it, a saga that cannot start, or one that is run by a step and was not
    /// added. A panic in a model comes through.
    #[track_caller]
    pub fn run(self) -> Report {
        let states_max = self.states_max;
        let (rules, start) = self.prepare();
        let searched = Search::new(&rules, states_max).run(&start);
        trace::report(&rules, &start, searched)
    }

    /// Makes these moves, and searches every state from there. A test that a [`Violation`](super::Violation) prints
    /// calls it. If a move has become impossible, the way to the violation is gone, and nothing is searched.
    ///
    /// # Panics
    ///
    /// Panics as [`run`](Explorer::run) does.
    #[track_caller]
    pub fn replay(self, moves: &[&str]) -> Report {
        let states_max = self.states_max;
        let (rules, start) = self.prepare();
        let (mut world, mut path) = (start.clone(), Vec::new());
        let mut walker = Walker::new(&rules);
        for wanted in moves {
            let next = walker.next(&world);
            let found = next.into_iter().find(|(made, _)| label(&rules, *made) == *wanted);
            let Some((made, reached)) = found else {
                return trace::report(&rules, &start, Searched::of_nothing());
            };
            path.push(made);
            match reached.and_then(|next| walker.wrong(&next).map_or(Ok(next), Err)) {
                Ok(next) => world = next,
                Err(wrong) => {
                    let found = Some(Found { wrong, path });
                    return trace::report(&rules, &start, Searched { found, ..Searched::of_nothing() });
                }
            }
        }
        let searched = Search::new(&rules, states_max).run(&world);
        let found = searched.found.map(|found| Found { path: [path, found.path].concat(), ..found });
        trace::report(&rules, &start, Searched { found, ..searched })
    }

    /// The rules and the first state.
    #[track_caller]
    pub(super) fn prepare(mut self) -> (Rules<M>, World) {
        self.check();
        if !self.sagas.iter().any(|(plan, _)| *plan == 0) {
            let least = Payload::least::<S>();
            let least = least.unwrap_or_else(|error| panic!("give the saga's data with `saga`: {error}"));
            self.sagas.insert(0, (0, least));
        }
        let mut rules = Rules::new(self.plans, self.faults);
        (rules.apply, rules.upgrade, rules.ask) = (self.apply, self.upgrade, self.ask);
        rules.decide = self.decide;
        (rules.decide_external, rules.external) = (self.decide_external, self.external);
        (rules.participants, rules.invariants, rules.finals) =
            (self.participants, self.invariants, self.finals);
        rules.check_sub_sagas();
        rules.given = self.sagas.len();
        rules.signals = signals(&rules, &self.signals);
        let model = rules.models.number(self.model);
        let sagas = self.sagas.into_iter().enumerate();
        let sagas = sagas.map(|(number, (plan, data))| begin(&rules, plan, number, data)).collect();
        (rules, World { model, sagas })
    }

    #[track_caller]
    fn check(&self) {
        let steps = || self.plans.iter().flat_map(|plan| plan.steps());
        if let Some(step) = steps().find(|step| self.participants.lacks_undo(step)) {
            panic!("{} has a handler; say with `undo` how its work is taken back", step.name);
        }
        let is_sent = |wanted: &str| {
            let sent = steps().flat_map(|step| {
                let command = step.command().map(|command| &command.command_type);
                command.into_iter().chain(step.undo().map(|undo| &undo.command_type))
            });
            sent.into_iter().any(|sent| sent.as_str() == wanted)
        };
        if let Some(command) = self.external.iter().find(|command| self.participants.handles(command)) {
            panic!("{command} is external, so it has no handler over the model");
        }
        let known = self.participants.known_types().chain(self.external.iter().copied());
        if let Some(command) = known.into_iter().find(|command| !is_sent(command)) {
            panic!("{} sends no {command}", self.plans[0].reference());
        }
    }
}

#[track_caller]
fn encoded<T: Saga>(data: &T) -> Payload {
    Payload::encode(data).unwrap_or_else(|error| panic!("the saga's data: {error}"))
}

/// Half a gigabyte, and a minute or two: more than that is rarely a test.
const STATES_MAX: usize = 5_000_000;
