//! A wait stands behind the pivot, where its refusal or its silence could not be made good.
//~ the saga's pivot is behind this point, so only `.then` may follow
//~ steps that can be undone, checks, waits and parallel groups belong before `.pivot`

#[path = "shared/contract.rs"]
mod contract;
use contract::*;
use saga_core::{Signal, saga};

impl Signal<PlaceOrder> for u64 {
    const NAME: &'static str = "word";
    fn deadline() -> std::time::Duration {
        std::time::Duration::from_secs(1)
    }
}

fn main() {
    let _ = saga::<PlaceOrder>(1).pivot::<CapturePayment>().wait::<u64>().build();
}
