//! A step whose items must succeed in the end stands before the pivot.
//~ the saga has no pivot before this point, and `.then` adds what follows the pivot
//~ add `.pivot` before this

#[path = "shared/contract.rs"]
mod contract;
use contract::*;
use saga_core::{Each, RetriableEach, saga};

impl Each<PlaceOrder> for ShipOrder {
    fn items(_: &PlaceOrder) -> Vec<String> {
        Vec::new()
    }
    fn command(_: &PlaceOrder, _: &str) -> Self {
        ShipOrder
    }
}
impl RetriableEach<PlaceOrder> for ShipOrder {}

fn main() {
    let _ = saga::<PlaceOrder>(1).then_for_each::<ShipOrder>().build();
}
