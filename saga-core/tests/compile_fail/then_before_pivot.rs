//! What must succeed in the end stands after the pivot.
//~ the saga has no pivot before this point, and `.then` adds what follows the pivot
//~ add `.pivot` before this
//~ a saga that can be taken back until its end needs no pivot, and no `.then`
//~ saga step `contract::ShipOrder` is not marked retriable, so it cannot stand after the pivot

#[path = "shared/contract.rs"]
mod contract;
use contract::*;
use saga_core::saga;

fn main() {
    let _ = saga::<PlaceOrder>(1).then::<ShipOrder>().build();
}
