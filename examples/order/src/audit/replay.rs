//! Folds a journal again: its events must give the stored state, and say which commands were sent.

use saga_core::definition::Plan;
use saga_core::id::{Direction, SagaId};
use saga_core::machine::Event;
use saga_core::message::Payload;
use saga_core::policy::Timestamp;
use saga_core::port::{JournalEntry, Stored};
use saga_core::replay::{Message, Recording};
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
    plan: &Plan,
    id: Uuid,
    order: &Order,
    saga: &Saga,
    journal: &[Line],
) -> Result<Vec<Sent>, String> {
    let journal: Vec<JournalEntry> = journal.iter().map(entry).collect();
    let recording = Recording::of_journal(plan, &stored(plan, id, saga)?, journal.iter());
    let recording = recording.map_err(|error| error.to_string())?;
    let ordered = Event::Started { data: data(order)? };
    if recording.journal.first().is_none_or(|line| line.event != ordered) {
        return Err("it began with something else than was ordered".into());
    }
    Ok(recording.messages().filter_map(command).collect())
}

fn command(message: &Message) -> Option<Sent> {
    Some((message.step.as_str().to_owned(), message.direction?))
}

fn entry(line: &Line) -> JournalEntry {
    JournalEntry {
        version: line.version.unsigned_abs(),
        event: line.event.clone().into(),
        now: Timestamp::from_micros(line.now_micros),
        decision: line.decision.clone(),
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
