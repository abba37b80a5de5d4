//! What there is at first: each saga with what it has sent, and the signals that may come to them.

use saga_core::definition::Work;
use saga_core::id::{MessageId, SagaId};
use saga_core::machine::{Decision, Transition, start};
use saga_core::message::{Payload, TraceParent};
use saga_core::policy::Timestamp;
use uuid::Uuid;

use super::Faults;
use super::orchestrator::{Asked, plain};
use super::rules::Rules;
use super::world::Local;

/// The signals that may come, by the number of the step that waits for them.
#[track_caller]
pub(super) fn signals<M>(rules: &Rules<M>, given: &[(&'static str, Payload)]) -> Vec<(u32, u32)> {
    let mut signals = Vec::new();
    let steps = (0..rules.plans.len() as u32).flat_map(|plan| {
        let steps = rules.plans[plan as usize].steps().iter();
        steps.map(move |step| rules.number(plan, &step.name))
    });
    for number in steps.filter(|step| matches!(rules.step(*step).work, Work::Signal { .. })) {
        let ((plan, place), step) = (rules.place(number), rules.step(number));
        let given = given.iter().filter(|(name, _)| *name == step.name.as_str());
        let mut values: Vec<Payload> = given.map(|(_, signal)| signal.clone()).collect();
        if values.is_empty() {
            let yes = plan.least_reply(place);
            values.push(yes.unwrap_or_else(|error| panic!("{error}; list signals with `signal`")));
            let refuses = rules.faults.contains(Faults::REFUSAL);
            values.extend(plan.least_refusal(place).ok().filter(|_| refuses));
        }
        signals.extend(values.into_iter().map(|signal| (number, rules.payloads.number(signal))));
    }
    signals
}

/// Starts a saga.
#[track_caller]
pub(super) fn begin<M>(rules: &Rules<M>, plan: usize, number: usize, data: Payload) -> Local {
    let id = SagaId::from_uuid(Uuid::from_u128(SAGA + number as u128));
    let trace = TraceParent::of_message(id, MessageId::from_uuid(id.as_uuid()));
    let now = Timestamp::from_micros(0);
    let plan = &rules.plans[plan];
    let Transition { next, effects, decision } = start(plan, id, data, trace, now)
        .unwrap_or_else(|error| panic!("{} cannot start: {error}", plan.reference()));
    debug_assert_eq!(decision, Decision::Started);
    let effects: Vec<Asked> = effects.iter().filter_map(|effect| rules.asked(&next, effect)).collect();
    let instance = rules.instances.number(plain(next));
    let mut local = Local { instance, cells: Vec::new() };
    if let Err(wrong) = rules.take_effects(&mut local, &effects) {
        panic!("{} cannot start: {wrong}", plan.reference());
    }
    local
}

/// The first saga's id; any UUIDv7 will do, and the next ones follow it.
const SAGA: u128 = 0x0190_0000_0000_7000_8000_0000_0000_0001;
