//! A check leaves nothing to undo, and says so.
//~ saga step `contract::CheckFraud` does not say that it leaves nothing to undo
//~ if that is so: `impl NothingToUndo<contract::PlaceOrder> for contract::CheckFraud {}`
//~ if it has an effect: implement `Compensate<contract::PlaceOrder>` and add it with `.step::<contract::CheckFraud>()`

#[path = "shared/contract.rs"]
mod contract;
use contract::*;
use saga_core::saga;

fn main() {
    let _ = saga::<PlaceOrder>(1).check::<CheckFraud>().build();
}
