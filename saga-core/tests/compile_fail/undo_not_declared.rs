//! Which command undoes which is said in the contract.
//~ `contract::ReleaseStock` does not undo `contract::ReserveStock`
//~ not the undo of this step's command
//~ say so beside the command: `impl Undoes<contract::ReserveStock> for contract::ReleaseStock {}`; both must belong to one participant

#[path = "shared/contract.rs"]
mod contract;
use contract::*;
use saga_core::{Compensate, Outcome};

impl Compensate<PlaceOrder> for ReserveStock {
    type Undo = ReleaseStock;
    fn undo(_: &PlaceOrder, _: Outcome<u64>) -> ReleaseStock {
        ReleaseStock
    }
}

fn main() {}
