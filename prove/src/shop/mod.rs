//! A shop with two sagas. Its orders have steps that can be undone, one alone and three in parallel, of which one is
//! local and one is skipped by those that are fetched; a pause; a check of those that are dear; a pivot that is closed
//! when its outcome stays unknown; a step that succeeds in the end, beside which a newer version runs another; and a
//! notification. Its large orders wait for their approval, a few at a time. For each parcel they print a label, run a
//! saga, which starts later and pays its courier through a gateway, and behind the pivot send an invoice.

mod books;
mod bulk;
mod contract;
mod saga;
mod services;

use saga_core::{DefinitionError, Saga};
use saga_testkit::simulate::{Simulation, simulate};
use saga_testkit::suite::Dice;

use books::Books;
use bulk::{Approval, PlaceBulkOrder, delivery, place_bulk_order};
use saga::{PlaceOrder, place_order, place_order_with_invoice};

/// The shop with everything that can go wrong: its sagas by turns.
pub(crate) fn simulation() -> Result<Simulation<PlaceOrder>, DefinitionError> {
    let order = |dice: &mut Dice| PlaceOrder { order: any(dice), amount: amount(dice) };
    let first = place_order()?;
    let orders = simulate(&first, order).local(services::desk()).upgrade(&place_order_with_invoice(&first)?);
    Ok(in_shop(orders).by_turns(bulk_orders()?))
}

/// Large orders, whose parcels are delivered by sagas of their own.
fn bulk_orders() -> Result<Simulation<PlaceBulkOrder>, DefinitionError> {
    let order = |dice: &mut Dice| {
        let parcels = dice.roll(PARCELS_MAX + 1) as u64;
        PlaceBulkOrder { order: any(dice), amount: amount(dice), parcels }
    };
    let orders = simulate(&place_bulk_order()?, order).sub_saga(&delivery()?);
    let orders = orders.signal(|dice| Approval { is_given: dice.roll(4) > 0 });
    Ok(in_shop(orders.in_flight(IN_FLIGHT_MAX)))
}

fn in_shop<S: Saga>(simulation: Simulation<S>) -> Simulation<S> {
    simulation.participant(services::inventory()).participant(services::payment())
}

fn any(dice: &mut Dice) -> u64 {
    dice.roll(usize::MAX) as u64
}

fn amount(dice: &mut Dice) -> u32 {
    1 + dice.roll(AMOUNT_MAX) as u32
}

/// Amounts decide what is refused: about half of the orders are not.
const AMOUNT_MAX: usize = 13;

/// Fewer than callers come.
const IN_FLIGHT_MAX: u64 = 2;

/// One more than are under way at once.
const PARCELS_MAX: usize = 3;
