//! A step after the pivot succeeds in the end.
//~ saga step `contract::ShipOrder` is not marked retriable, so it cannot stand after the pivot
//~ after the pivot nothing is undone: every step must succeed in the end
//~ if this step can be retried until it succeeds: `impl Retriable<contract::PlaceOrder> for contract::ShipOrder {}`

#[path = "shared/contract.rs"]
mod contract;
use contract::*;
use saga_core::saga;

fn main() {
    let _ = saga::<PlaceOrder>(1).pivot::<CapturePayment>().then::<ShipOrder>().build();
}
