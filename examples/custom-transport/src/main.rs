//! Runs an order saga over files.
//!
//! Run with `cargo run -p custom-transport`. Prints `the order is placed, and 3 of 5 items are left`.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use custom_transport::Directory;
use saga_core::memory::{MemoryFence, MemoryStore, MemoryTx};
use saga_core::message::Fault;
use saga_core::port::{Fence, SystemClock, Transport};
use saga_core::runtime::{Handle, Handled, Orchestrator, Reply, SagaOutcome, Undo, participant, service};
use saga_core::{
    Command, Compensate, Definition, DefinitionError, Outcome, Participant, Saga, Step, Undoes, saga,
};
use serde::{Deserialize, Serialize};

struct Inventory;
impl Participant for Inventory {
    const NAME: &'static str = "inventory";
}

#[derive(Serialize, Deserialize)]
struct ReserveStock {
    items: u32,
}
impl Command for ReserveStock {
    const TYPE: &'static str = "inventory.reserve.v1";
    type Participant = Inventory;
    type Reply = ();
    type Refusal = String;
}

#[derive(Serialize, Deserialize)]
struct ReleaseStock {
    items: u32,
}
impl Command for ReleaseStock {
    const TYPE: &'static str = "inventory.release.v1";
    type Participant = Inventory;
    type Reply = ();
    type Refusal = ();
}
impl Undoes<ReserveStock> for ReleaseStock {}

#[derive(Serialize, Deserialize)]
struct PlaceOrder {
    items: u32,
}
impl Saga for PlaceOrder {
    const NAME: &'static str = "place-order";
}
impl Step<PlaceOrder> for ReserveStock {
    fn command(order: &PlaceOrder) -> Self {
        ReserveStock { items: order.items }
    }
}
impl Compensate<PlaceOrder> for ReserveStock {
    type Undo = ReleaseStock;

    fn undo(order: &PlaceOrder, _: Outcome<()>) -> ReleaseStock {
        ReleaseStock { items: order.items }
    }
}

fn place_order() -> Result<Definition<PlaceOrder>, DefinitionError> {
    saga(1).step::<ReserveStock>().build()
}

struct Stock;
impl Handle<ReserveStock, MemoryTx<u32>> for Stock {
    async fn handle(&self, command: ReserveStock, tx: &mut MemoryTx<u32>) -> Handled<ReserveStock> {
        if *tx.data() < command.items {
            return Ok(Reply::Refused("out of stock".into()));
        }
        *tx.data_mut() -= command.items;
        Ok(Reply::Done(()))
    }
}
impl Undo<ReserveStock, ReleaseStock, MemoryTx<u32>> for Stock {
    async fn undo(&self, command: ReleaseStock, _did: (), tx: &mut MemoryTx<u32>) -> Result<(), Fault> {
        *tx.data_mut() += command.items;
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let files = std::env::temp_dir().join(format!("custom-transport-{}", std::process::id()));
    let transport: Arc<dyn Transport> = Arc::new(Directory::at(&files));
    let shelf = Arc::new(MemoryFence::new(5, Arc::new(SystemClock)));
    let stock =
        service::<Inventory, _, _>(Stock).handle::<ReserveStock>().undo::<ReserveStock, ReleaseStock>();
    let inventory = participant(stock, shelf.clone(), transport.clone()).start().await?;
    let store = Arc::new(MemoryStore::default());
    let orchestrator =
        Orchestrator::builder(store, transport, "orders.replies").register(&place_order()?).start().await?;

    let outcome = orchestrator.start(PlaceOrder { items: 2 }).await?.outcome().await?;
    let left = *shelf.begin(&[]).await?.0.data();
    match outcome {
        SagaOutcome::Completed(_) => println!("the order is placed, and {left} of 5 items are left"),
        SagaOutcome::Compensated { cause, .. } => println!("the order came to nothing: {cause}"),
        SagaOutcome::Parked { reason } => println!("a human is needed: {reason}"),
    }

    orchestrator.stop(Duration::from_secs(5)).await;
    inventory.stop(Duration::from_secs(5)).await;
    std::fs::remove_dir_all(files)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use saga_testkit::explore::explore;

    use super::{DefinitionError, place_order};

    #[test]
    fn an_order_goes_well_whatever_fails() -> Result<(), DefinitionError> {
        explore(&place_order()?).run().assert_ok();
        Ok(())
    }
}
