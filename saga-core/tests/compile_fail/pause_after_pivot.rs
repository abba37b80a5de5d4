//! `.pause` stands behind the pivot, where it is `.then_pause`.
//~ the saga's pivot is behind this point, so only `.then` may follow
//~ this belongs before `.pivot`

#[path = "shared/contract.rs"]
mod contract;
use contract::*;
use saga_core::{Pause, saga};

struct Rest;
impl Pause<PlaceOrder> for Rest {
    const NAME: &'static str = "rest";
    fn length(_: &PlaceOrder) -> std::time::Duration {
        std::time::Duration::from_secs(1)
    }
}

fn main() {
    let _ = saga::<PlaceOrder>(1).pivot::<CapturePayment>().pause::<Rest>().build();
}
