//! Several versions of one definition: who takes which, and what a process says of those that it does not know.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{
    Accounts, CapturePayment, Inventory, Payment, PlaceOrder, ReleaseStock, ReserveStock, Shared, ShipOrder,
    Stock, place_order,
};
use saga_core::definition::{AfterPivot, Builder};
use saga_core::id::SagaId;
use saga_core::memory::{MemoryFence, MemoryStore, MemoryTransport};
use saga_core::port::{Status, Transport};
use saga_core::replay::Recording;
use saga_core::runtime::{Orchestrator, Participating, SagaHandle, SagaOutcome, participant, service};
use saga_core::{Definition, saga};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

#[tokio::test(start_paused = true)]
async fn new_sagas_take_the_newest_version_and_running_ones_keep_theirs() {
    let world = World::start().await;
    let old = world.orchestrator(&[place_order()]).await;
    let running = old.start(PlaceOrder::of(1, 10)).await.unwrap();
    world.until_paying(&old, &running).await;
    old.stop(Duration::from_secs(5)).await;

    let both = world.orchestrator(&[without_shipping(), place_order()]).await;
    let new = both.start(PlaceOrder::of(1, 10)).await.unwrap();
    let _payment = world.start_payment().await;
    for (saga, version, entries) in [(running, 1, 4), (new, 2, 3)] {
        let saga: SagaHandle<_, PlaceOrder> = both.handle(saga.id());
        assert!(matches!(saga.outcome().await.unwrap(), SagaOutcome::Completed(_)));
        let shown = both.show(saga.id()).await.unwrap().unwrap();
        assert_eq!(shown.summary.definition.version, version);
        assert_eq!(shown.journal.len(), entries, "version {version}: {:?}", shown.journal);
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_says_at_its_start_which_sagas_it_leaves_alone_and_its_health_says_so_too() {
    let world = World::start().await;
    let old = world.orchestrator(&[place_order()]).await;
    for _ in 0..3 {
        old.start(PlaceOrder::of(1, 10)).await.unwrap();
    }
    let ended = old.start(PlaceOrder::of(1_000, 10)).await.unwrap();
    assert!(matches!(ended.outcome().await.unwrap(), SagaOutcome::Compensated { .. }));
    old.stop(Duration::from_secs(5)).await;

    let warnings = Warnings::default();
    let recorded = tracing::subscriber::set_default(warnings.clone());
    let new = world.orchestrator(&[without_shipping()]).await;
    drop(recorded);
    let said = warnings.0.lock().unwrap().clone();
    assert!(said.contains("place-order version 1") && said.contains("unfinished=3"), "{said}");

    let unknown = new.health().await.unwrap().unknown;
    assert_eq!(unknown.len(), 1, "{unknown:?}");
    assert_eq!((&unknown[0].definition, unknown[0].unfinished), (place_order().plan().reference(), 3));
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(new.health().await.unwrap().unknown, unknown, "their timers do not fire here");

    let warnings = Warnings::default();
    let recorded = tracing::subscriber::set_default(warnings.clone());
    world.orchestrator(&[without_shipping(), place_order()]).await;
    drop(recorded);
    assert_eq!(*warnings.0.lock().unwrap(), "", "who knows them all has nothing to say");
}

#[tokio::test(start_paused = true)]
async fn a_saga_moves_to_a_version_that_is_the_same_up_to_where_it_stands() {
    let (world, saga) = World::with_a_saga_that_pays().await;
    let newer = upgrading(saga_of_two(2));
    let new = world.orchestrator(std::slice::from_ref(&newer)).await;
    assert_eq!(new.health().await.unwrap().unknown, [], "the older version is known through the newer one");
    let _payment = world.start_payment().await;
    let saga: SagaHandle<_, PlaceOrder> = new.handle(saga);
    let SagaOutcome::Completed(order) = saga.outcome().await.unwrap() else { panic!("it is paid") };
    assert_eq!(order.reservation, Some(7), "the data comes with it");

    let shown = new.show(saga.id()).await.unwrap().unwrap();
    assert_eq!(shown.summary.definition, *newer.plan().reference());
    let decisions: Vec<_> = shown.journal.iter().map(|line| line.entry.decision.as_str()).collect();
    assert!(decisions.contains(&"moved from version 1 to 2"), "{decisions:?}");
    assert_eq!(decisions.last(), Some(&"completed"), "nothing is shipped in the second version");
    Recording::of(newer.plan(), &shown).unwrap().replay(newer.plan()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_saga_moves_with_its_timers_though_nobody_answers() {
    let (world, saga) = World::with_a_saga_that_pays().await;
    let new = world.orchestrator(&[upgrading(saga_of_two(2))]).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let moved = new.show(saga).await.unwrap().unwrap();
    assert_eq!(moved.summary.definition.version, 2);
    tokio::time::sleep(Duration::from_secs(600)).await;
    let asked_again = new.show(saga).await.unwrap().unwrap();
    assert!(asked_again.summary.version > moved.summary.version, "its timers go on");
}

/// Another process has registered another second version, and was rolled back.
#[tokio::test(start_paused = true)]
async fn a_saga_stays_with_its_version_if_another_process_has_replaced_the_newer_one() {
    let (world, saga) = World::with_a_saga_that_pays().await;
    let newer = upgrading(saga_of_two(2));
    let new = world.orchestrator(std::slice::from_ref(&newer)).await;
    let other = saga_of_two(2).then::<ShipOrder>().build().unwrap();
    assert_ne!(newer.plan().reference(), other.plan().reference());
    world.orchestrator(&[other]).await.stop(Duration::from_secs(5)).await;
    let _payment = world.start_payment().await;
    let saga: SagaHandle<_, PlaceOrder> = new.handle(saga);
    assert!(matches!(saga.outcome().await.unwrap(), SagaOutcome::Completed(_)));
    let shown = new.show(saga.id()).await.unwrap().unwrap();
    assert_eq!(shown.summary.definition, *place_order().plan().reference());
}

#[tokio::test(start_paused = true)]
async fn the_data_of_a_saga_that_moves_can_be_made_anew() {
    let (world, saga) = World::with_a_saga_that_pays().await;
    let renamed = |old: PlaceOrder| PlaceOrder { name: format!("{}, moved", old.name), ..old };
    let newer = saga_of_two(2).upgrade_from_with(&place_order(), renamed).build().unwrap();
    let new = world.orchestrator(std::slice::from_ref(&newer)).await;
    let _payment = world.start_payment().await;
    let saga: SagaHandle<_, PlaceOrder> = new.handle(saga);
    let SagaOutcome::Completed(order) = saga.outcome().await.unwrap() else { panic!("it is paid") };
    assert_eq!(order.name, "order, moved");
    let shown = new.show(saga.id()).await.unwrap().unwrap();
    Recording::of(newer.plan(), &shown).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_saga_that_may_not_move_goes_on_as_it_began() {
    let panics = |_: PlaceOrder| -> PlaceOrder { panic!("nobody knows how") };
    for newer in [
        upgrading(saga(2).pivot::<CapturePayment>()),
        saga_of_two(2).upgrade_from_with(&place_order(), panics).build().unwrap(),
    ] {
        let (world, saga) = World::with_a_saga_that_pays().await;
        let new = world.orchestrator(&[newer]).await;
        let _payment = world.start_payment().await;
        let saga: SagaHandle<_, PlaceOrder> = new.handle(saga);
        assert!(matches!(saga.outcome().await.unwrap(), SagaOutcome::Completed(_)));
        let shown = new.show(saga.id()).await.unwrap().unwrap();
        assert_eq!(shown.summary.definition, *place_order().plan().reference());
        assert_eq!(shown.journal.len(), 4, "it is shipped: {:?}", shown.journal);
    }
}

#[test]
fn only_an_older_version_of_the_same_saga_can_be_upgraded_from() {
    for version in [1, 2] {
        let older: Definition<PlaceOrder> = saga_of_two(2).build().unwrap();
        let error = saga_of_two(version).upgrade_from(&older).build().unwrap_err();
        assert!(error.to_string().contains("no older version"), "{error}");
    }
}

/// The second version, in which orders are fetched.
fn without_shipping() -> Definition<PlaceOrder> {
    saga_of_two(2).build().unwrap()
}

fn saga_of_two(version: u32) -> Builder<PlaceOrder, AfterPivot> {
    saga(version).step::<ReserveStock>().pivot::<CapturePayment>()
}

/// A version that takes the sagas of the first one.
fn upgrading(builder: Builder<PlaceOrder, AfterPivot>) -> Definition<PlaceOrder> {
    builder.upgrade_from(&place_order()).build().unwrap()
}

/// A store, a broker and an inventory. Payment is away until it is started, so that sagas stay under way.
struct World {
    store: Arc<MemoryStore>,
    transport: MemoryTransport,
    _inventory: Participating<MemoryFence<u32>>,
}

impl World {
    async fn start() -> Self {
        let transport = MemoryTransport::default();
        let handlers = service::<Inventory, _, _>(Shared(Arc::new(Stock::default())))
            .handle::<ReserveStock>()
            .undo::<ReserveStock, ReleaseStock>()
            .handle::<ShipOrder>();
        let stock = Arc::new(MemoryFence::new(100, Arc::new(saga_core::memory::TokioClock::default())));
        let inventory = participant(handlers, stock, Arc::new(transport.connect())).start().await.unwrap();
        World { store: Arc::default(), transport, _inventory: inventory }
    }

    /// A saga of the first version that has come to its pivot, and no orchestrator.
    async fn with_a_saga_that_pays() -> (Self, SagaId) {
        let world = World::start().await;
        let old = world.orchestrator(&[place_order()]).await;
        let saga = old.start(PlaceOrder::of(1, 10)).await.unwrap();
        world.until_paying(&old, &saga).await;
        old.stop(Duration::from_secs(5)).await;
        (world, saga.id())
    }

    async fn orchestrator(&self, definitions: &[Definition<PlaceOrder>]) -> Orchestrator<MemoryStore> {
        let transport: Arc<dyn Transport> = Arc::new(self.transport.connect());
        let builder = Orchestrator::builder(self.store.clone(), transport, "orders.replies");
        let builder = definitions.iter().fold(builder, |builder, definition| builder.register(definition));
        builder.start().await.unwrap()
    }

    async fn start_payment(&self) -> Participating<MemoryFence<u32>> {
        let handlers = service::<Payment, _, _>(Accounts).handle::<CapturePayment>();
        let money = Arc::new(MemoryFence::new(1_000, Arc::new(saga_core::memory::TokioClock::default())));
        participant(handlers, money, Arc::new(self.transport.connect())).start().await.unwrap()
    }

    /// Waits until a saga has come to its pivot, which nobody answers.
    async fn until_paying(
        &self,
        orchestrator: &Orchestrator<MemoryStore>,
        saga: &SagaHandle<MemoryStore, PlaceOrder>,
    ) {
        loop {
            let shown = orchestrator.show(saga.id()).await.unwrap().unwrap();
            assert_eq!(shown.summary.status, Status::Running);
            if shown.summary.version > 1 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// The warnings that were logged, with their fields.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<String>>);

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::WARN
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut Fields(&mut self.0.lock().unwrap()));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Fields<'a>(&'a mut String);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, "{field}={value:?} ").unwrap();
    }
}
