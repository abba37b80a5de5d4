//! A command is waited for, which only a participant could answer.
//~ `contract::CheckFraud` is no signal of the saga `contract::PlaceOrder`
//~ `.wait` needs `impl Signal<contract::PlaceOrder> for contract::CheckFraud`
//~ if a participant is to be asked, it is a command: `.step`, `.check` or `.pivot`

#[path = "shared/contract.rs"]
mod contract;
use contract::*;
use saga_core::saga;

fn main() {
    let _ = saga::<PlaceOrder>(1).wait::<CheckFraud>().build();
}
