//! A step that can be undone stands before the pivot.
//~ the saga's pivot is behind this point, so only `.then` may follow
//~ this belongs before `.pivot`
//~ steps that can be undone, checks, waits and parallel groups belong before `.pivot`

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
    let _ = saga::<PlaceOrder>(1).pivot::<CapturePayment>().step::<ReserveStock>().build();
}
