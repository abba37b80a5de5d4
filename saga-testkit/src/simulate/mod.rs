//! Simulations: a saga with several orchestrators, participants and relays, in which everything goes wrong.
//!
//! Each run is decided by one number, its seed: which faults it has, when they strike, who is late, who dies. The
//! runtimes are those of `saga_core`, unchanged, over its adapters in memory; time is tokio's, paused, so that a run
//! of many seconds takes a few milliseconds. After the faults every saga must end, and what the framework promises
//! is checked at every commit and every message: see [`Report`].
//!
//! A run that breaks a promise is printed as it happened, with its seed and a test to keep. The same seed gives the
//! same run on every machine. `docs/simulator.md` says what goes wrong in a run, and what is checked.
//!
//! # Example: stock that is reserved and given back, a hundred times
//!
//! ```
//! use saga_core::memory::MemoryTx;
//! use saga_core::message::Fault;
//! use saga_core::runtime::{Handle, Handled, Reply, Undo, service};
//! use saga_core::{Command, Compensate, Outcome, Participant, Saga, Step, Undoes, saga};
//! use saga_testkit::simulate::{Simulated, simulate};
//! # use serde::{Deserialize, Serialize};
//! # struct Inventory;
//! # impl Participant for Inventory { const NAME: &'static str = "inventory"; }
//! # #[derive(Serialize, Deserialize)]
//! # struct ReserveStock { items: u32 }
//! # impl Command for ReserveStock {
//! #     const TYPE: &'static str = "inventory.reserve.v1";
//! #     type Participant = Inventory;
//! #     type Reply = ();
//! #     type Refusal = String;
//! # }
//! # #[derive(Serialize, Deserialize)]
//! # struct ReleaseStock { items: u32 }
//! # impl Command for ReleaseStock {
//! #     const TYPE: &'static str = "inventory.release.v1";
//! #     type Participant = Inventory;
//! #     type Reply = ();
//! #     type Refusal = ();
//! # }
//! # impl Undoes<ReserveStock> for ReleaseStock {}
//! # #[derive(Serialize, Deserialize)]
//! # struct PlaceOrder { items: u32 }
//! # impl Saga for PlaceOrder { const NAME: &'static str = "place-order"; }
//! # impl Step<PlaceOrder> for ReserveStock {
//! #     fn command(order: &PlaceOrder) -> Self { ReserveStock { items: order.items } }
//! # }
//! # impl Compensate<PlaceOrder> for ReserveStock {
//! #     type Undo = ReleaseStock;
//! #     fn undo(order: &PlaceOrder, _: Outcome<()>) -> ReleaseStock { ReleaseStock { items: order.items } }
//! # }
//!
//! /// What the warehouse keeps. A database in memory, and the handlers' transaction is over it.
//! #[derive(Clone)]
//! struct Stock { free: u32, reserved: u32 }
//!
//! struct Warehouse;
//!
//! impl Handle<ReserveStock, MemoryTx<Stock>> for Warehouse {
//!     async fn handle(&self, command: ReserveStock, tx: &mut MemoryTx<Stock>) -> Handled<ReserveStock> {
//!         let stock = tx.data_mut();
//!         if stock.free < command.items {
//!             return Ok(Reply::Refused("out of stock".into()));
//!         }
//!         stock.free -= command.items;
//!         stock.reserved += command.items;
//!         Ok(Reply::Done(()))
//!     }
//! }
//!
//! impl Undo<ReserveStock, ReleaseStock, MemoryTx<Stock>> for Warehouse {
//!     async fn undo(&self, command: ReleaseStock, _: (), tx: &mut MemoryTx<Stock>) -> Result<(), Fault> {
//!         let stock = tx.data_mut();
//!         stock.free += command.items;
//!         stock.reserved -= command.items;
//!         Ok(())
//!     }
//! }
//!
//! let place_order = saga(1).step::<ReserveStock>().build().unwrap();
//! let inventory = Simulated::new(Stock { free: 10, reserved: 0 }, |troubles| {
//!     service::<Inventory, _, _>(troubles.around(Warehouse))
//!         .handle::<ReserveStock>()
//!         .undo::<ReserveStock, ReleaseStock>()
//! });
//!
//! simulate(&place_order, |dice| PlaceOrder { items: 1 + dice.roll(5) as u32 })
//!     .participant(inventory.always("nothing is lost", |stock| stock.free + stock.reserved == 10))
//!     .seeds(0..100)
//!     .run()
//!     .assert_ok();
//! ```

mod clock;
mod counters;
mod fault;
mod faulty;
mod fence;
mod gateway;
mod handlers;
mod local;
mod participants;
mod planted;
mod process;
mod registered;
mod report;
mod schedule;
mod script;
mod seeds;
mod signals;
mod stage;
mod store;
mod trace;
mod transport;
mod witness;
mod world;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use saga_core::runtime::SagaLimits;
use saga_core::{Definition, Participant, Saga, Signal, SubSaga};

pub use counters::{Counters, Seen};
pub use fault::Fault;
pub use gateway::Gateway;
pub use handlers::{Troubled, Troubles};
pub use local::{LocalData, SimulatedLocal};
use participants::Blueprint;
pub use participants::Simulated;
use registered::Registered;
use seeds::Turn;
use signals::Signals;

pub use planted::Bug;
pub use report::{Report, Violation};

use crate::suite::Dice;

/// Begins a simulation: sagas of `definition`, each with what `begin` draws for it.
pub fn simulate<S: Saga>(
    definition: &Definition<S>,
    begin: impl Fn(&mut Dice) -> S + Send + Sync + 'static,
) -> Simulation<S> {
    Simulation {
        registered: Registered::of(definition),
        begin: Box::new(begin),
        participants: Vec::new(),
        local: None,
        signals: Vec::new(),
        in_flight: None,
        without: Vec::new(),
        bug: None,
        seeds: 0..1000,
        turns: Vec::new(),
    }
}

/// A simulation that is being put together.
#[must_use = "a simulation does nothing until it is run"]
pub struct Simulation<S> {
    registered: Registered,
    begin: Box<dyn Fn(&mut Dice) -> S + Send + Sync>,
    participants: Vec<Arc<dyn Blueprint>>,
    local: Option<Arc<dyn local::Premises<S>>>,
    signals: Vec<Arc<Signals>>,
    /// How many of the sagas that are started may be under way.
    in_flight: Option<u64>,
    without: Vec<Fault>,
    bug: Option<Bug>,
    seeds: Range<u64>,
    /// Those that are run by turns with this one.
    turns: Vec<Box<dyn Turn>>,
}

impl<S: Saga> Simulation<S> {
    /// Adds a participant. Each that the definition names must be there.
    pub fn participant<P, H, D>(mut self, participant: Simulated<P, H, D>) -> Self
    where
        P: Participant,
        H: Send + Sync + 'static,
        D: Clone + Send + Sync + 'static,
    {
        self.participants.push(Arc::new(participant));
        self
    }

    /// Adds what the local steps of all definitions do.
    pub fn local<H, D>(self, local: SimulatedLocal<S, H, D>) -> Self
    where
        H: Send + Sync + 'static,
        D: Clone + Send + Sync + 'static,
    {
        Simulation { local: Some(Arc::new(local)), ..self }
    }

    /// Adds a saga that others run as a step.
    pub fn sub_saga<T: SubSaga>(mut self, definition: &Definition<T>) -> Self {
        self.registered.sub_saga(definition);
        self
    }

    /// Has somebody give each saga a signal that is drawn for it: early, in time, late, twice, or never.
    pub fn signal<G: Signal<S>>(mut self, draw: impl Fn(&mut Dice) -> G + Send + Sync + 'static) -> Self {
        self.signals.extend(Signals::of(draw).map(Arc::new));
        self
    }

    /// Limits how many of the sagas that are started may be under way. Callers wait for a while, and are refused then.
    pub fn in_flight(mut self, sagas: u64) -> Self {
        let limits = SagaLimits::default().in_flight(sagas).wait(START_WAIT);
        self.registered.limit::<S>(limits);
        Simulation { in_flight: Some(sagas), ..self }
    }

    /// Has sagas move to a newer version of the definition. Some orchestrators know it, and some do not yet.
    pub fn upgrade(mut self, newer: &Definition<S>) -> Self {
        self.registered.upgrade(newer);
        self
    }

    /// Runs another simulation by turns with this one, which says which seeds are run, and which bug is planted.
    pub fn by_turns<T: Saga>(mut self, mut other: Simulation<T>) -> Self {
        let others = std::mem::take(&mut other.turns);
        self.turns.push(Box::new(other));
        self.turns.extend(others);
        self
    }

    /// Leaves a fault out. All can happen unless said otherwise.
    pub fn without(mut self, fault: Fault) -> Self {
        self.without.push(fault);
        self
    }

    /// Plants a bug, to see that it is found.
    pub fn plant(self, bug: Bug) -> Self {
        Simulation { bug: Some(bug), ..self }
    }

    /// Which seeds are run; the first thousand unless said otherwise.
    pub fn seeds(self, seeds: Range<u64>) -> Self {
        Simulation { seeds, ..self }
    }
}

/// Short beside a saga, so that callers are refused.
const START_WAIT: Duration = Duration::from_millis(200);
