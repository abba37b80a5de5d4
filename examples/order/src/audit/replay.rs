//! Folds a journal again: its events must give the stored state, and say which commands were sent.

use std::sync::Arc;

use saga_core::definition::Plan;
use saga_core::id::{Direction, SagaId};
use saga_core::machine::{self, Applied, Effect, Event, Instance, Transition};
use saga_core::message::Payload;
use saga_core::policy::Timestamp;
use saga_core::port::Stored;
use uuid::Uuid;

use super::evidence::{Line, Order, Saga};
use crate::contract::OrderId;
use crate::saga::PlaceOrder;

/// A command that a transition decided to send: the step and what is asked of it.
pub(super) type Sent = (String, Direction);

/// Folds the journal of the saga `id`, and returns the commands that it sent.
///
/// # Errors
///
/// Where the journal and the saga part.
pub(super) fn replay(
    plan: &Arc<Plan>,
    id: Uuid,
    order: &Order,
    saga: &Saga,
    journal: &[Line],
) -> Result<Vec<Sent>, String> {
    let stored = stored(plan, id, saga)?;
    let after = Instance::decode(stored.clone()).map_err(|error| error.to_string())?;
    let Some((first, rest)) = journal.split_first() else { return Err("it has no journal".into()) };
    let begun = machine::start(plan, stored.id, data(order)?, after.trace.clone(), now(first));
    let begun = begun.map_err(|error| error.to_string())?;
    let mut sent = Vec::new();
    let mut instance = check(begun, first, &mut sent)?;
    for line in rest {
        let event: Event = serde_json::from_slice(&line.event).map_err(|error| error.to_string())?;
        instance = match machine::apply(plan, &instance, &event, now(line)) {
            Ok(Applied::Moved(transition)) => check(*transition, line, &mut sent)?,
            Ok(Applied::Ignored(reason)) => {
                return Err(format!("line {} would have been ignored: {}", line.version, reason.as_str()));
            }
            Err(error) => return Err(format!("line {} is impossible: {error}", line.version)),
        };
    }
    match instance == after {
        true => Ok(sent),
        false => Err("its journal gives another state than is stored".into()),
    }
}

/// One transition against its line.
fn check(transition: Transition, line: &Line, sent: &mut Vec<Sent>) -> Result<Instance, String> {
    let Transition { next, effects, decision } = transition;
    if decision.to_string() != line.decision || next.version != line.version.unsigned_abs() {
        return Err(format!(
            "line {} says {:?}, and the event before it gives {decision:?}",
            line.version, line.decision
        ));
    }
    sent.extend(effects.into_iter().filter_map(command));
    Ok(next)
}

fn command(effect: Effect) -> Option<Sent> {
    match effect {
        Effect::Send { step, direction, .. } => Some((step.as_str().to_owned(), direction)),
        Effect::Notify { .. } | Effect::Arm { .. } | Effect::Disarm { .. } => None,
    }
}

fn stored(plan: &Plan, id: Uuid, saga: &Saga) -> Result<Stored, String> {
    let status = serde_json::from_value(saga.status.clone().into()).map_err(|error| error.to_string())?;
    Ok(Stored {
        id: SagaId::from_uuid(id),
        definition: plan.reference().clone(),
        version: saga.version.unsigned_abs(),
        status,
        state: saga.state.clone().into(),
        data: saga.data.clone().into(),
        parked: saga.parked.clone(),
    })
}

/// What the saga began with; the order's row knows.
fn data(order: &Order) -> Result<Payload, String> {
    let items = serde_json::from_str(&order.items).map_err(|error| error.to_string())?;
    let Order { id, customer, amount, .. } = order;
    let data =
        PlaceOrder { order: OrderId(*id), customer: customer.clone(), amount: *amount, items, hold: None };
    Payload::encode(&data).map_err(|error| error.to_string())
}

fn now(line: &Line) -> Timestamp {
    Timestamp::from_micros(line.now_micros)
}
