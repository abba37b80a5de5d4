//! Every step of a group says how it is taken back.
//~ saga step `contract::CheckFraud` has no compensation, so it cannot stand before the pivot
//~ this step needs `impl Compensate<contract::PlaceOrder> for contract::CheckFraud`

#[path = "shared/contract.rs"]
mod contract;
use contract::*;
use saga_core::{Compensate, Outcome, Undoes, saga};

impl Undoes<ReserveStock> for ReleaseStock {}
impl Compensate<PlaceOrder> for ReserveStock {
    type Undo = ReleaseStock;
    fn undo(_: &PlaceOrder, _: Outcome<u64>) -> ReleaseStock {
        ReleaseStock
    }
}

fn main() {
    let _ = saga::<PlaceOrder>(1).parallel::<(ReserveStock, CheckFraud)>().build();
}
