//! A command is told like a notification, which nobody answers.
//~ `contract::CheckFraud` is no notification of the saga `contract::PlaceOrder`
//~ `.notify` needs `impl Notification<contract::PlaceOrder> for contract::CheckFraud`
//~ if an answer is awaited, it is a command: `.step`, `.check`, `.pivot` or `.then`

#[path = "shared/contract.rs"]
mod contract;
use contract::*;
use saga_core::saga;

fn main() {
    let _ = saga::<PlaceOrder>(1).notify::<CheckFraud>().build();
}
