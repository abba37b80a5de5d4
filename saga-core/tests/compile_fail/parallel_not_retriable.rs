//! Behind the pivot every step of a group succeeds in the end.
//~ saga step `contract::ShipOrder` is not marked retriable, so it cannot stand after the pivot
//~ saga step `contract::CheckFraud` is not marked retriable, so it cannot stand after the pivot

#[path = "shared/contract.rs"]
mod contract;
use contract::*;
use saga_core::saga;

fn main() {
    let _ = saga::<PlaceOrder>(1).pivot::<CapturePayment>().then_parallel::<(ShipOrder, CheckFraud)>().build();
}
