//! A saga has one pivot.
//~ the saga's pivot is behind this point, so only `.then` may follow
//~ a saga has one pivot; what follows it must succeed in the end: `impl Retriable` and add it with `.then`

#[path = "shared/contract.rs"]
mod contract;
use contract::*;
use saga_core::saga;

fn main() {
    let _ = saga::<PlaceOrder>(1).pivot::<CapturePayment>().pivot::<ShipOrder>().build();
}
