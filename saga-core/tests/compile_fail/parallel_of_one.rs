//! A group has at least two steps.
//~ `contract::ReserveStock` cannot run in parallel before the pivot
//~ needs a tuple of two to eight steps that each implement `Compensate<contract::PlaceOrder>`

#[path = "shared/contract.rs"]
mod contract;
use contract::*;
use saga_core::saga;

fn main() {
    let _ = saga::<PlaceOrder>(1).parallel::<ReserveStock>().build();
}
