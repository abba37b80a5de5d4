//! A step for each item stands after the pivot, and does not promise to succeed in the end.
//~ saga step `contract::ShipOrder` is not marked retriable for its items, so it cannot stand after the pivot
//~ if this step can be retried until it succeeds: `impl RetriableEach<contract::PlaceOrder> for contract::ShipOrder {}`

#[path = "shared/contract.rs"]
mod contract;
use contract::*;
use saga_core::{Each, saga};

impl Each<PlaceOrder> for ShipOrder {
    fn items(_: &PlaceOrder) -> Vec<String> {
        Vec::new()
    }
    fn command(_: &PlaceOrder, _: &str) -> Self {
        ShipOrder
    }
}

fn main() {
    let _ = saga::<PlaceOrder>(1).pivot::<CapturePayment>().then_for_each::<ShipOrder>().build();
}
