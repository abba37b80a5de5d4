//! `.then_pause` stands in a saga without a pivot before it.
//~ the saga has no pivot before this point, and `.then` adds what follows the pivot
//~ add `.pivot` before this

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
    let _ = saga::<PlaceOrder>(1).then_pause::<Rest>().build();
}
