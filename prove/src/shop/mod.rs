//! A shop whose orders have every kind of step: one that can be undone, two of these in parallel, a check, a pivot
//! that is closed when its outcome stays unknown, and a step that succeeds in the end.

mod books;
mod contract;
mod saga;
mod services;

use saga_core::DefinitionError;
use saga_testkit::simulate::{Simulation, simulate};

use books::Books;
use saga::{PlaceOrder, place_order};

/// The shop with everything that can go wrong.
pub(crate) fn simulation() -> Result<Simulation<PlaceOrder>, DefinitionError> {
    let order = |dice: &mut saga_testkit::suite::Dice| {
        let order = dice.roll(usize::MAX) as u64;
        PlaceOrder { order, amount: 1 + dice.roll(AMOUNT_MAX) as u32 }
    };
    let simulation = simulate(&place_order()?, order);
    Ok(simulation.participant(services::inventory()).participant(services::payment()))
}

/// Amounts decide what is refused: about half of the orders are not.
const AMOUNT_MAX: usize = 13;
