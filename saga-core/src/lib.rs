//! Sagas: business transactions over several services, each step with a compensation, safe under every crash.
//!
//! A saga is a list of steps. For each step an **orchestrator** sends a command to a **participant** and waits for its
//! reply. If a step is refused, the steps already done are compensated in reverse order. With any number of crashes,
//! lost, doubled, delayed and reordered messages: every effect happens at most once, a saga reported completed has all
//! of them, and one reported compensated has none of those that its definition undoes.
//!
//! ```text
//!    your code            saga-core               saga-postgres         saga-broker          your service
//!  ┌────────────┐   ┌────────────────────┐      ┌───────────────┐     ┌─────────────┐     ┌────────────────┐
//!  │ definition │──▶│ machine: decides   │─────▶│ one           │     │ RabbitMQ or │     │ fence: admits  │
//!  │ of a saga  │   │ relay:   sends     │◀─────│ transaction   │────▶│ Kafka       │────▶│ each command   │
//!  └────────────┘   │ orchestrator:      │      │ for a batch:  │     │ or yours    │     │ once, in your  │
//!                   │   drives both      │◀──┐  │ state, outbox │     └─────────────┘     │ transaction    │
//!                   └────────────────────┘   │  └───────────────┘            ▲            └────────────────┘
//!                                            └──────────── replies ──────────┴─────────────────────┘
//! ```
//!
//! # The smallest saga
//!
//! Two services in one process and in memory. The same code runs on Postgres with RabbitMQ or Kafka: only the three
//! adapters that are named in `main` change.
//!
//! ```
//! use std::sync::Arc;
//!
//! use saga_core::memory::{MemoryFence, MemoryStore, MemoryTransport, MemoryTx};
//! use saga_core::message::Fault;
//! use saga_core::port::Transport;
//! use saga_core::runtime::{Handle, Handled, Orchestrator, Reply, SagaOutcome, Undo, participant, service};
//! use saga_core::{Command, Compensate, Outcome, Participant, Saga, Step, Undoes, saga};
//! use serde::{Deserialize, Serialize};
//!
//! // What the services promise one another.
//! struct Inventory;
//! impl Participant for Inventory {
//!     const NAME: &'static str = "inventory";
//! }
//!
//! #[derive(Serialize, Deserialize)]
//! struct ReserveStock { items: u32 }
//! impl Command for ReserveStock {
//!     const TYPE: &'static str = "inventory.reserve.v1";
//!     type Participant = Inventory;
//!     type Reply = u64;
//!     type Refusal = String;
//! }
//!
//! #[derive(Serialize, Deserialize)]
//! struct ReleaseStock { items: u32 }
//! impl Command for ReleaseStock {
//!     const TYPE: &'static str = "inventory.release.v1";
//!     type Participant = Inventory;
//!     type Reply = ();
//!     type Refusal = ();
//! }
//! impl Undoes<ReserveStock> for ReleaseStock {}
//!
//! // The saga.
//! #[derive(Serialize, Deserialize)]
//! struct PlaceOrder { items: u32, reservation: Option<u64> }
//! impl Saga for PlaceOrder {
//!     const NAME: &'static str = "place-order";
//! }
//!
//! impl Step<PlaceOrder> for ReserveStock {
//!     fn command(order: &PlaceOrder) -> Self {
//!         ReserveStock { items: order.items }
//!     }
//!     fn on_reply(order: &mut PlaceOrder, reservation: u64) {
//!         order.reservation = Some(reservation);
//!     }
//! }
//! impl Compensate<PlaceOrder> for ReserveStock {
//!     type Undo = ReleaseStock;
//!     fn undo(order: &PlaceOrder, _did: Outcome<u64>) -> ReleaseStock {
//!         ReleaseStock { items: order.items }
//!     }
//! }
//!
//! // The participant: its handlers work in the transaction that makes them happen exactly once.
//! struct Stock;
//! impl Handle<ReserveStock, MemoryTx<u32>> for Stock {
//!     async fn handle(&self, command: ReserveStock, tx: &mut MemoryTx<u32>) -> Handled<ReserveStock> {
//!         if *tx.data() < command.items {
//!             return Ok(Reply::Refused("out of stock".into()));
//!         }
//!         *tx.data_mut() -= command.items;
//!         Ok(Reply::Done(7))
//!     }
//! }
//! impl Undo<ReserveStock, ReleaseStock, MemoryTx<u32>> for Stock {
//!     async fn undo(&self, command: ReleaseStock, _did: u64, tx: &mut MemoryTx<u32>) -> Result<(), Fault> {
//!         *tx.data_mut() += command.items;
//!         Ok(())
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let transport: Arc<dyn Transport> = Arc::new(MemoryTransport::default());
//! let stock = service::<Inventory, _, _>(Stock).handle::<ReserveStock>().undo::<ReserveStock, ReleaseStock>();
//! let inventory = participant(stock, Arc::new(MemoryFence::<u32>::default()), transport.clone()).start().await?;
//!
//! let definition = saga::<PlaceOrder>(1).step::<ReserveStock>().build()?;
//! let store = Arc::new(MemoryStore::default());
//! let orchestrator = Orchestrator::builder(store, transport, "orders.replies").register(&definition).start().await?;
//!
//! let order = orchestrator.start(PlaceOrder { items: 2, reservation: None }).await?;
//! assert!(matches!(order.outcome().await?, SagaOutcome::Compensated { .. })); // the shelf is empty
//! # drop(inventory);
//! # Ok(())
//! # }
//! ```
//!
//! # What this crate does not do
//!
//! - **No isolation.** Others see what a saga did before it ended. Where that matters, take a semantic lock: mark the
//!   row as pending in the step, and clear it in the pivot and in the undo.
//! - **No broker and no database.** `saga-broker` and `saga-postgres` have them, and [`port`] says what any other needs.
//! - **No calls to external services inside a handler's transaction.** They would happen again after a crash. An
//!   [`External`](runtime::External) handler makes them between two transactions.

#[macro_use]
mod planted;

pub mod definition;
pub mod drawing;
pub mod fence;
pub mod id;
pub mod machine;
pub mod memory;
pub mod message;
pub mod namespace;
pub mod policy;
pub mod port;
pub mod replay;
pub mod runtime;

pub use definition::{
    Compensate, CompensateEach, Definition, DefinitionError, Each, NotRun, NothingToUndo, Notification,
    Outcome, Pause, Retriable, RetriableEach, Run, Saga, Signal, Step, SubSaga, TakeBack, saga,
};
pub use message::{Command, Local, Participant, Undoes};
#[cfg(saga_planted)]
pub use planted::Bug;
