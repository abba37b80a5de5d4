//! A step before the pivot says how it is taken back.
//~ saga step `contract::ReserveStock` has no compensation, so it cannot stand before the pivot
//~ this step needs `impl Compensate<contract::PlaceOrder> for contract::ReserveStock`
//~ or, if there is nothing to undo, `impl NothingToUndo<contract::PlaceOrder> for contract::ReserveStock {}`
//~ or make it the pivot with `.pivot::<contract::ReserveStock>()`

#[path = "shared/contract.rs"]
mod contract;
use contract::*;
use saga_core::saga;

fn main() {
    let _ = saga::<PlaceOrder>(1).step::<ReserveStock>().build();
}
