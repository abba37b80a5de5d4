//! No mistake: the saga that the other cases spoil. It compiles.

#[path = "shared/contract.rs"]
mod contract;
use contract::*;
use saga_core::{Compensate, NothingToUndo, Outcome, Retriable, Undoes, saga};

impl Undoes<ReserveStock> for ReleaseStock {}
impl Compensate<PlaceOrder> for ReserveStock {
    type Undo = ReleaseStock;
    fn undo(_: &PlaceOrder, _: Outcome<u64>) -> ReleaseStock {
        ReleaseStock
    }
}
impl NothingToUndo<PlaceOrder> for CheckFraud {}
impl Retriable<PlaceOrder> for ShipOrder {}

fn main() {
    saga::<PlaceOrder>(1)
        .step::<ReserveStock>()
        .check::<CheckFraud>()
        .pivot::<CapturePayment>()
        .then::<ShipOrder>()
        .build()
        .unwrap();
}
