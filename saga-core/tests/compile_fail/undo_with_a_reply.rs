//! An undo answers nothing but "undone".
//~ <CountStock as Command>::Reply == ()
//~ required by a bound in `Undoes`

#[path = "shared/contract.rs"]
mod contract;
use contract::*;
use saga_core::Undoes;

impl Undoes<ReserveStock> for CountStock {}

fn main() {}
