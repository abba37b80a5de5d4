//! What is left of a saga long after its end: its key, perhaps its archived self, and no fence row.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use common::{
    Accounts, CapturePayment, Inventory, Payment, PlaceOrder, ReleaseStock, ReserveStock, Shared, ShipOrder,
    Stock, place_order,
};
use saga_core::Command;
use saga_core::fence::{FenceKey, FenceState};
use saga_core::id::{
    BusinessKey, CommandType, Destination, Direction, MessageId, ParticipantName, SagaId, StepName,
};
use saga_core::memory::{MemoryFence, MemoryStore, MemoryTransport, TokioClock};
use saga_core::message::{Answer, CommandMessage, Payload, ReplyMessage, TraceParent};
use saga_core::policy::Timestamp;
use saga_core::port::{Clock, SagaFilter, SubscribeOptions, Transport};
use saga_core::runtime::{
    Orchestrator, OutcomeError, Participating, Retention, SagaOutcome, StartError, participant, service,
};
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn an_archived_saga_still_answers_for_its_key_and_tells_its_outcome() {
    let world = World::start(Retention::after(MONTH), HORIZON).await;
    let first = world.orchestrator.start_as(key(), PlaceOrder::of(3, 10)).await.unwrap();
    let outcome = first.outcome().await.unwrap();
    world.days_pass(20).await;
    assert_eq!(world.sagas().await, 1, "a saga stays for its month");
    world.days_pass(11).await;
    assert_eq!(world.sagas().await, 0);

    let again = world.orchestrator.start_as(key(), PlaceOrder::of(3, 10)).await.unwrap();
    assert!(again.is_existing() && again.id() == first.id());
    assert_eq!(again.outcome().await.unwrap(), outcome);
    let found = world.orchestrator.find::<PlaceOrder>(&key()).await.unwrap().unwrap();
    assert_eq!(found.outcome().await.unwrap(), outcome);
    let other = world.orchestrator.start_as(key(), PlaceOrder::of(4, 10)).await.unwrap_err();
    assert!(matches!(other, StartError::KeyTaken(id) if id == first.id()), "{other}");
    assert_eq!(world.orchestrator.show(first.id()).await.unwrap().unwrap().journal.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_saga_that_is_not_archived_says_so_when_it_is_asked_for_its_outcome() {
    let world = World::start(Retention::after(MONTH).without_archive(), HORIZON).await;
    let first = world.orchestrator.start_as(key(), PlaceOrder::of(3, 10)).await.unwrap();
    first.outcome().await.unwrap();
    world.days_pass(31).await;
    let again = world.orchestrator.start_as(key(), PlaceOrder::of(3, 10)).await.unwrap();
    assert!(again.is_existing() && again.id() == first.id());
    let error = again.outcome().await.unwrap_err();
    assert!(matches!(error, OutcomeError::NotFound(id) if id == first.id()));
    assert!(error.to_string().contains("deleted long after its end"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_parked_saga_is_never_retired() {
    let world = World::start(Retention::after(MONTH), HORIZON).await;
    let parked = world.orchestrator.start(PlaceOrder::named("bad-command", 1, 10)).await.unwrap();
    assert!(matches!(parked.outcome().await.unwrap(), SagaOutcome::Parked { .. }));
    world.days_pass(100).await;
    assert_eq!(world.sagas().await, 1);
    assert!(world.row(parked.id()).await.is_some(), "its fence rows stay as well");
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_comes_after_its_fence_row_is_deleted_is_refused_as_expired() {
    let world = World::start(Retention::after(Duration::ZERO), HORIZON).await;
    let saga = world.orchestrator.start(PlaceOrder::of(3, 10)).await.unwrap();
    saga.outcome().await.unwrap();
    let copy = world.copy(saga.id());
    assert!(matches!(world.answer(&copy).await, Answer::Done(_)), "from the record");
    world.days_pass(0).await;
    world.days_pass(13).await;
    assert!(world.row(saga.id()).await.is_some(), "a row outlives the notice by the horizon");
    world.days_pass(2).await;
    assert_eq!(world.row(saga.id()).await, None);
    let Answer::Fault(fault) = world.answer(&copy).await else { panic!("nothing is on record") };
    assert!(fault.message.contains("expired"), "{fault}");
    assert_eq!(world.stock_left().await, 97, "three were taken, once");
    let fresh = CommandMessage { not_after: world.clock.now().plus(MONTH), ..copy };
    assert!(matches!(world.answer(&fresh).await, Answer::Done(_)), "it is the date that has kept it out");
}

#[tokio::test(start_paused = true)]
async fn no_horizon_is_shorter_than_a_command_is_valid() {
    let world = World::start(Retention::after(Duration::ZERO), Duration::ZERO).await;
    let saga = world.orchestrator.start(PlaceOrder::of(3, 10)).await.unwrap();
    saga.outcome().await.unwrap();
    world.days_pass(0).await;
    world.days_pass(6).await;
    assert!(world.row(saga.id()).await.is_some());
    world.days_pass(2).await;
    assert_eq!(world.row(saga.id()).await, None);
}

#[tokio::test(start_paused = true)]
async fn sagas_leave_in_batches_with_a_pause_behind_each() {
    for (batch, pause, left) in [(2, 30, [(0, 3), (30, 1), (60, 0)]), (0, 7, [(0, 4), (7, 3), (14, 2)])] {
        let retention = Retention::after(MONTH).batch(batch).pause(Duration::from_secs(pause));
        let world = World::start(retention, HORIZON).await;
        for _ in 0..5 {
            let saga = world.orchestrator.start(PlaceOrder::of(1, 10)).await.unwrap();
            saga.outcome().await.unwrap();
        }
        world.clock.days.fetch_add(31, Relaxed);
        world.until_left(left[0].1).await;
        let first = Instant::now();
        for (after, sagas) in left {
            world.until_left(sagas).await;
            assert_eq!(
                first.elapsed().as_secs(),
                after,
                "when there were {sagas} left, of batches of {batch}"
            );
        }
    }
}

/// The clock of all databases. It follows tokio's, and leaps over the days in which nothing happens.
struct LeapingClock {
    steady: TokioClock,
    days: AtomicU64,
}

impl Clock for LeapingClock {
    fn now(&self) -> Timestamp {
        self.steady.now().plus(DAY * self.days.load(Relaxed) as u32)
    }
}

struct World {
    clock: Arc<LeapingClock>,
    transport: MemoryTransport,
    orchestrator: Orchestrator<MemoryStore>,
    inventory: Arc<MemoryFence<u32>>,
    _participants: [Participating<MemoryFence<u32>>; 2],
}

impl World {
    async fn start(retention: Retention, horizon: Duration) -> Self {
        let clock = Arc::new(LeapingClock { steady: TokioClock::default(), days: AtomicU64::new(0) });
        let transport = MemoryTransport::default();
        let shared: Arc<dyn Transport> = Arc::new(transport.connect());
        let inventory = Arc::new(MemoryFence::new(100, clock.clone()));
        let handlers = service::<Inventory, _, _>(Shared(Arc::new(Stock::default())))
            .handle::<ReserveStock>()
            .undo::<ReserveStock, ReleaseStock>()
            .handle::<ShipOrder>();
        let stock = participant(handlers, inventory.clone(), shared.clone()).horizon(horizon).start();
        let payment = Arc::new(MemoryFence::new(1000, clock.clone()));
        let handlers = service::<Payment, _, _>(Accounts).handle::<CapturePayment>();
        let money = participant(handlers, payment, shared.clone()).start();
        let participants = [stock.await.unwrap(), money.await.unwrap()];
        let store = Arc::new(MemoryStore::new(clock.clone()));
        let orchestrator = Orchestrator::builder(store, shared, "orders.replies")
            .register(&place_order())
            .retention(retention)
            .start()
            .await
            .unwrap();
        World { clock, transport, orchestrator, inventory, _participants: participants }
    }

    /// Leaps over days, and gives everybody time to look.
    async fn days_pass(&self, days: u64) {
        self.clock.days.fetch_add(days, Relaxed);
        tokio::time::sleep(LOOKED_WITHIN).await;
    }

    /// How many sagas the store has beside the archive.
    async fn sagas(&self) -> usize {
        self.orchestrator.list(&SagaFilter::default(), 10).await.unwrap().len()
    }

    /// Waits until the store has no more sagas than this, which must then be as many.
    async fn until_left(&self, sagas: usize) {
        while self.sagas().await > sagas {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(self.sagas().await, sagas);
    }

    async fn row(&self, saga: SagaId) -> Option<FenceState> {
        let participant = ParticipantName::new("inventory").unwrap();
        self.inventory.row(&FenceKey { participant, saga, step: reserve() }).await
    }

    async fn stock_left(&self) -> u32 {
        self.inventory.data().await
    }

    /// A copy of a saga's first command, whose answer goes to this test.
    fn copy(&self, saga: SagaId) -> CommandMessage {
        let step = reserve();
        CommandMessage {
            saga,
            trace: TraceParent::of_message(saga, MessageId::command(saga, &step, Direction::Do)),
            step,
            direction: Direction::Do,
            attempt: 1,
            command_type: CommandType::new(ReserveStock::TYPE).unwrap(),
            reply_to: Destination::new("test.replies").unwrap(),
            not_after: self.clock.now().plus(DAY * 7),
            body: Payload::encode(&ReserveStock { order: "order".into(), items: 3 }).unwrap(),
        }
    }

    async fn answer(&self, command: &CommandMessage) -> Answer {
        let source = command.reply_to.clone();
        self.transport.declare(std::slice::from_ref(&source)).await.unwrap();
        let options = SubscribeOptions { source, group: "test".into(), in_flight_max: 1 };
        let mut replies = self.transport.subscribe(options).await.unwrap();
        let envelope = command.clone().encode(Destination::new("inventory").unwrap());
        self.transport.publish(&[envelope]).await.remove(0).unwrap();
        let delivery = replies.receive(1).await.unwrap().remove(0);
        replies.settler().settle(&[(delivery.token, saga_core::port::Settlement::Ack)]).await;
        ReplyMessage::decode(&delivery.envelope).unwrap().answer
    }
}

fn key() -> BusinessKey {
    BusinessKey::new("order 7").unwrap()
}

fn reserve() -> StepName {
    StepName::new(ReserveStock::TYPE).unwrap()
}

const DAY: Duration = Duration::from_secs(24 * 3600);
const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);
const HORIZON: Duration = Duration::from_secs(14 * 24 * 3600);

/// Both jobs look once a minute; a notice is sent in between.
const LOOKED_WITHIN: Duration = Duration::from_secs(130);
