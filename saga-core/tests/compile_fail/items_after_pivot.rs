//! A step whose items can be undone stands behind the pivot.
//~ the saga's pivot is behind this point, so only `.then` may follow
//~ this belongs before `.pivot`

#[path = "shared/contract.rs"]
mod contract;
use contract::*;
use saga_core::{CompensateEach, Each, Outcome, Undoes, saga};

impl Each<PlaceOrder> for ReserveStock {
    fn items(_: &PlaceOrder) -> Vec<String> {
        Vec::new()
    }
    fn command(_: &PlaceOrder, _: &str) -> Self {
        ReserveStock
    }
}
impl Undoes<ReserveStock> for ReleaseStock {}
impl CompensateEach<PlaceOrder> for ReserveStock {
    type Undo = ReleaseStock;
    fn undo(_: &PlaceOrder, _: &str, _: Outcome<u64>) -> ReleaseStock {
        ReleaseStock
    }
}

fn main() {
    let _ = saga::<PlaceOrder>(1).pivot::<CapturePayment>().for_each::<ReserveStock>().build();
}
