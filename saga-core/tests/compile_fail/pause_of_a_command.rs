//! A command is made a pause, which says how long and is sent to nobody.
//~ `contract::CheckFraud` is no pause of the saga `contract::PlaceOrder`
//~ `.pause` and `.then_pause` need `impl Pause<contract::PlaceOrder> for contract::CheckFraud`
//~ to wait for something from outside, with a deadline, use a signal: `.wait`

#[path = "shared/contract.rs"]
mod contract;
use contract::*;
use saga_core::saga;

fn main() {
    let _ = saga::<PlaceOrder>(1).pause::<CheckFraud>().build();
}
