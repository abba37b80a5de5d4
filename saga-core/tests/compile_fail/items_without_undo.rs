//! A step for each item stands before the pivot, and does not say how an item is taken back.
//~ saga step `contract::ReserveStock` has no compensation for its items, so it cannot stand before the pivot
//~ this step needs `impl CompensateEach<contract::PlaceOrder> for contract::ReserveStock`
//~ or move it after the pivot with `.then_for_each::<contract::ReserveStock>()`

#[path = "shared/contract.rs"]
mod contract;
use contract::*;
use saga_core::{Each, saga};

impl Each<PlaceOrder> for ReserveStock {
    fn items(_: &PlaceOrder) -> Vec<String> {
        Vec::new()
    }
    fn command(_: &PlaceOrder, _: &str) -> Self {
        ReserveStock
    }
}

fn main() {
    let _ = saga::<PlaceOrder>(1).for_each::<ReserveStock>().build();
}
