//! An undo that reached another fence would be taken for "nothing to undo".
//~ <RefundPayment as Command>::Participant == Inventory
//~ expected this to be `Inventory`
//~ required by a bound in `Undoes`

#[path = "shared/contract.rs"]
mod contract;
use contract::*;
use saga_core::Undoes;

impl Undoes<ReserveStock> for RefundPayment {}

fn main() {}
