//! A command whose handler takes the process down each time. A process is a participant here, and it is dropped when
//! the handler says so.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{
    Accounts, CapturePayment, Inventory, Payment, PlaceOrder, ReleaseStock, ReserveStock, ShipOrder,
    place_order,
};
use saga_core::memory::{MemoryFence, MemoryStore, MemoryTransport, MemoryTx, TokioClock};
use saga_core::message::Fault;
use saga_core::port::Transport;
use saga_core::runtime::{
    Handle, Handled, Orchestrator, Participating, Reply, SagaHandle, SagaOutcome, Undo, participant, service,
};
use tokio::sync::Notify;
use tokio::time::timeout;

#[tokio::test(start_paused = true)]
async fn it_is_recognised_after_six_deaths_however_late_the_process_comes_back() {
    for back_after in [Duration::from_millis(100), LONGER_THAN_ANY_PAUSE] {
        let world = World::start().await;
        let deadly = world.orchestrator.start(PlaceOrder::named(DEADLY, 1, 10)).await.unwrap();
        let (deaths, _inventory) = world.until_parked(&deadly, back_after).await;
        assert_eq!(deaths, 6, "once uncounted, and five times counted");
        let healthy = world.orchestrator.start(PlaceOrder::of(1, 10)).await.unwrap();
        assert!(matches!(healthy.outcome().await.unwrap(), SagaOutcome::Completed(_)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_that_has_recognised_it_does_not_run_it_again_and_the_next_one_does() {
    let world = World::start().await;
    let deadly = world.orchestrator.start(PlaceOrder::named(DEADLY, 1, 10)).await.unwrap();
    let (_, inventory) = world.until_parked(&deadly, Duration::from_millis(100)).await;
    world.orchestrator.retry(deadly.id(), "perhaps it works now").await.unwrap();
    let outcome = timeout(LONGER_THAN_ANY_PAUSE, deadly.outcome()).await.expect("nothing is run").unwrap();
    assert!(matches!(outcome, SagaOutcome::Parked { .. }), "{outcome:?}");

    drop(inventory);
    let _mended = world.start_inventory(false).await;
    world.orchestrator.retry(deadly.id(), "the handler is mended").await.unwrap();
    let outcome = deadly.outcome().await.unwrap();
    assert!(matches!(outcome, SagaOutcome::Completed(_)), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn how_many_deaths_that_takes_can_be_set() {
    for (runs_max, expected) in [(0, 2), (1, 2), (3, 4)] {
        let world = World { runs_max: Some(runs_max), ..World::start().await };
        let deadly = world.orchestrator.start(PlaceOrder::named(DEADLY, 1, 10)).await.unwrap();
        let (deaths, _inventory) = world.until_parked(&deadly, Duration::from_millis(100)).await;
        assert_eq!(deaths, expected, "once uncounted, and {runs_max} times counted, but once at least");
    }
}

struct World {
    transport: MemoryTransport,
    orchestrator: Orchestrator<MemoryStore>,
    fence: Arc<MemoryFence<u32>>,
    died: Arc<Notify>,
    /// Five unless said otherwise.
    runs_max: Option<u32>,
    _payment: Participating<MemoryFence<u32>>,
}

impl World {
    async fn start() -> Self {
        let clock = Arc::new(TokioClock::default());
        let transport = MemoryTransport::default();
        let shared: Arc<dyn Transport> = Arc::new(transport.connect());
        let accounts = service::<Payment, _, _>(Accounts).handle::<CapturePayment>();
        let money = Arc::new(MemoryFence::new(1000, clock.clone()));
        let payment = participant(accounts, money, shared.clone()).start().await.unwrap();
        let store = Arc::new(MemoryStore::new(clock.clone()));
        let orchestrator = Orchestrator::builder(store, shared, "orders.replies").register(&place_order());
        let fence = Arc::new(MemoryFence::new(100, clock));
        let died = Arc::new(Notify::new());
        let orchestrator = orchestrator.start().await.unwrap();
        World { transport, orchestrator, fence, died, runs_max: None, _payment: payment }
    }

    /// Another life of the inventory's process.
    async fn start_inventory(&self, dies: bool) -> Participating<MemoryFence<u32>> {
        let handlers = service::<Inventory, _, _>(Stock { dies, died: self.died.clone() })
            .handle::<ReserveStock>()
            .undo::<ReserveStock, ReleaseStock>()
            .handle::<ShipOrder>();
        let transport = Arc::new(self.transport.connect());
        let participant = participant(handlers, self.fence.clone(), transport);
        let participant = match self.runs_max {
            Some(runs) => participant.runs_max(runs),
            None => participant,
        };
        participant.start().await.unwrap()
    }

    /// Starts the inventory again whenever it dies, until the saga is parked. Returns how often that was, and the last
    /// life.
    async fn until_parked(
        &self,
        saga: &SagaHandle<MemoryStore, PlaceOrder>,
        back_after: Duration,
    ) -> (u32, Participating<MemoryFence<u32>>) {
        for deaths in 0..20 {
            let inventory = self.start_inventory(true).await;
            tokio::select! {
                biased;
                () = self.died.notified() => drop(inventory),
                outcome = saga.outcome() => {
                    let outcome = outcome.unwrap();
                    let SagaOutcome::Parked { reason } = outcome else { panic!("{outcome:?}") };
                    let times = format!("took the whole process down {} times", self.runs_max.unwrap_or(5).max(1));
                    assert!(reason.contains(&times), "{reason}");
                    return (deaths, inventory);
                }
            }
            tokio::time::sleep(back_after).await;
        }
        panic!("the command is not recognised");
    }
}

struct Stock {
    dies: bool,
    died: Arc<Notify>,
}

impl Handle<ReserveStock, MemoryTx<u32>> for Stock {
    async fn handle(&self, command: ReserveStock, _: &mut MemoryTx<u32>) -> Handled<ReserveStock> {
        Ok(Reply::Done(if command.order == DEADLY { DEADLY_RESERVATION } else { 7 }))
    }
}

impl Undo<ReserveStock, ReleaseStock, MemoryTx<u32>> for Stock {
    async fn undo(&self, _: ReleaseStock, _: u64, _: &mut MemoryTx<u32>) -> Result<(), Fault> {
        Ok(())
    }
}

/// After the pivot, so that the command is sent again for ever.
impl Handle<ShipOrder, MemoryTx<u32>> for Stock {
    async fn handle(&self, command: ShipOrder, _: &mut MemoryTx<u32>) -> Handled<ShipOrder> {
        if self.dies && command.reservation == DEADLY_RESERVATION {
            self.died.notify_one();
            std::future::pending().await
        }
        Ok(Reply::Done(()))
    }
}

const DEADLY: &str = "deadly";
const DEADLY_RESERVATION: u64 = 13;

/// Several attempts arrive in this time, however many there were before.
const LONGER_THAN_ANY_PAUSE: Duration = Duration::from_secs(300);
