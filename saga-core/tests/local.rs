//! Local steps over the store in memory: what they write is there exactly if their saga has moved.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use saga_core::machine::Status;
use saga_core::memory::{MemoryStore, MemoryTransport, MemoryWorkTx, TokioClock};
use saga_core::message::Fault;
use saga_core::port::BODY_BYTES_MAX;
use saga_core::runtime::{
    Handle, Handled, Orchestrator, OrchestratorBuilder, OrchestratorError, Reply, SagaHandle, SagaOutcome,
    Service, Undo, service,
};
use saga_core::{
    Command, Compensate, Definition, Local, NothingToUndo, Outcome, Participant, Retriable, Saga, Signal,
    Step, Undoes, saga,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

#[tokio::test(start_paused = true)]
async fn its_work_is_done_with_the_sagas_move_and_its_reply_is_noted() {
    let world = World::start(Mood::Well).await;
    let saga = world.begin("A-7").await;
    assert_eq!(world.until_ended(&saga).await, (Status::Completed, Some(3)));
    assert_eq!(world.books.notes(), [("A-7".to_owned(), 2)], "noted, and stamped");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_leaves_nothing_and_compensates() {
    let world = World::start(Mood::Refuses).await;
    let saga = world.begin("A-7").await;
    assert_eq!(world.until_ended(&saga).await, (Status::Compensated, None));
    assert_eq!((world.books.notes(), world.books.runs()), (vec![], (1, 0)));
}

#[tokio::test(start_paused = true)]
async fn a_fault_a_panic_and_a_handler_that_hangs_leave_nothing_and_are_tried_again() {
    for mood in [Mood::Fails(2), Mood::Panics(2), Mood::Hangs(2)] {
        let world = World::start(mood).await;
        let saga = world.begin("A-7").await;
        assert_eq!(world.until_ended(&saga).await, (Status::Completed, Some(3)), "{mood:?}");
        assert_eq!((world.books.notes().len(), world.books.runs()), (1, (3, 0)), "{mood:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_given_up_was_not_done_so_no_undo_is_run() {
    for mood in [Mood::Fails(u32::MAX), Mood::Panics(u32::MAX)] {
        let world = World::start(mood).await;
        let saga = world.begin("A-7").await;
        assert_eq!(world.until_ended(&saga).await.0, Status::Compensated, "{mood:?}");
        assert_eq!((world.books.notes(), world.books.runs()), (vec![], (5, 0)), "{mood:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_done_is_undone_with_its_reply() {
    let world = World::start(Mood::Well).await;
    let saga = world.waiting("A-7").await;
    assert_eq!(world.books.notes(), [("A-7".to_owned(), 1)]);
    world.orchestrator.cancel(saga.id(), "enough").await.unwrap();
    assert_eq!(world.until_ended(&saga).await.0, Status::Compensated);
    assert_eq!((world.books.notes(), world.books.runs()), (vec![], (1, 1)));
}

#[tokio::test(start_paused = true)]
async fn a_saga_that_others_move_meanwhile_takes_the_work_back_with_its_transaction() {
    let world = World::start(Mood::Waits).await;
    let saga = world.begin("A-7").await;
    world.books.entered.notified().await;
    world.orchestrator.cancel(saga.id(), "enough").await.unwrap();
    world.books.go.notify_waiters();
    assert_eq!(world.until_ended(&saga).await.0, Status::Compensated);
    assert_eq!((world.books.notes(), world.books.runs()), (vec![], (1, 0)), "it was never done");
}

#[tokio::test(start_paused = true)]
async fn a_process_that_dies_in_it_has_done_nothing_and_the_next_one_does_it() {
    let mut world = World::start(Mood::Hangs(1)).await;
    let saga = world.begin("A-7").await.id();
    world.books.entered.notified().await;
    world.orchestrator = world.another().await;
    let saga = world.orchestrator.handle::<Order>(saga);
    assert_eq!(world.until_ended(&saga).await, (Status::Completed, Some(3)));
    assert_eq!(world.books.notes(), [("A-7".to_owned(), 2)]);
}

#[tokio::test(start_paused = true)]
async fn two_orchestrators_do_it_once() {
    let world = World::start(SLOW).await;
    let other = world.another().await;
    let mut sagas = Vec::new();
    for number in 0..20 {
        sagas.push(world.begin(&format!("order {number}")).await);
    }
    for saga in &sagas {
        assert_eq!(world.until_ended(saga).await, (Status::Completed, Some(3)));
    }
    other.stop(Duration::from_secs(1)).await;
    let notes = world.books.notes();
    assert_eq!(notes.len(), 20);
    assert!(notes.iter().all(|(_, times)| *times == 2), "{notes:?}");
}

#[tokio::test(start_paused = true)]
async fn sagas_share_transactions_and_none_harms_another() {
    for mood in [Mood::Well, SLOW, Mood::OneRefuses, Mood::OnePanics, Mood::OneHangs] {
        let world = World::start(mood).await;
        let shared = world.sharing(32).await;
        let orders =
            (0..40).map(|number| Order { name: format!("order {number}"), waits: false, stamp: None });
        let sagas = join_all(orders.map(|order| shared.start(order))).await;
        let mut ends = Vec::new();
        for saga in sagas {
            ends.push(world.until_ended(&saga.unwrap()).await.0);
        }
        let unlucky = matches!(mood, Mood::OneRefuses | Mood::OnePanics | Mood::OneHangs);
        let compensated = ends.iter().filter(|status| **status == Status::Compensated).count();
        assert_eq!(compensated, usize::from(unlucky), "{mood:?}");
        let notes = world.books.notes();
        assert_eq!(notes.len(), 40 - compensated, "{mood:?}");
        assert!(notes.iter().all(|(_, times)| *times == 2), "{mood:?}: {notes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn so_many_sagas_share_a_transaction_as_are_allowed_to() {
    for (allowed, most) in [(0, 1), (1, 1), (4, 4), (32, 32), (1000, 32)] {
        let world = World::start(SLOW_ENOUGH_TO_GATHER).await;
        let shared = world.sharing(allowed).await;
        let orders =
            (0..100).map(|number| Order { name: format!("order {number}"), waits: false, stamp: None });
        for saga in join_all(orders.map(|order| shared.start(order))).await {
            world.until_ended(&saga.unwrap()).await;
        }
        let sizes = world.books.sizes.lock().unwrap().clone();
        assert_eq!(sizes.iter().max(), Some(&most), "{allowed} are allowed: {sizes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn slow_handlers_that_share_transactions_do_not_spend_each_others_time() {
    for length in [300, 500, 900] {
        let world = World::start(Mood::Slow(Duration::from_millis(length))).await;
        let shared = world.sharing(32).await;
        let orders =
            (0..40).map(|number| Order { name: format!("order {number}"), waits: false, stamp: None });
        for saga in join_all(orders.map(|order| shared.start(order))).await {
            let (status, _) = world.until_ended(&saga.unwrap()).await;
            assert_eq!(status, Status::Completed, "{length} ms each");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn if_the_sagas_own_code_fails_on_the_answer_the_work_is_taken_back() {
    let world = World::start(Mood::Well).await;
    let saga = world.begin("unstampable").await;
    for runs in 1..=2 {
        let SagaOutcome::Parked { reason } = saga.outcome().await.unwrap() else { panic!("it parks") };
        assert!(reason.contains("no stamp"), "{reason}");
        assert_eq!((world.books.notes(), world.books.runs()), (vec![], (runs, 0)));
        world.orchestrator.retry(saga.id(), "again").await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    world.orchestrator.compensate(saga.id(), "enough").await.unwrap();
    assert_eq!(world.until_ended(&saga).await.0, Status::Compensated);
    assert_eq!((world.books.notes(), world.books.runs()), (vec![], (3, 0)), "it was never done");
}

#[tokio::test(start_paused = true)]
async fn if_the_sagas_own_code_fails_on_an_undo_that_is_taken_back_too() {
    let world = World::start(Mood::Well).await;
    world.orchestrator.stop(Duration::from_secs(1)).await;
    let steps = saga(2).step::<Stamp>().step::<Note>().wait::<GoOn>().build().unwrap();
    let builder = builder(&world.store, &world.transport, &world.books);
    let sealed = builder.register(&steps).start().await.unwrap();
    let order = Order { name: "unerasable".into(), waits: true, stamp: None };
    let saga = sealed.start(order).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    sealed.cancel(saga.id(), "enough").await.unwrap();
    for undone in 1..=2 {
        let SagaOutcome::Parked { reason } = saga.outcome().await.unwrap() else { panic!("it parks") };
        assert!(reason.contains("no eraser"), "{reason}");
        assert_eq!(world.books.notes(), [("unerasable".to_owned(), 2)], "stamped and noted");
        assert_eq!(world.books.runs(), (1, undone));
        sealed.retry(saga.id(), "again").await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// It would be refused again and again, however often the handler is run.
#[tokio::test(start_paused = true)]
async fn if_the_store_refuses_the_move_its_saga_parks_without_the_work() {
    let world = World::start(Mood::Well).await;
    world.orchestrator.stop(Duration::from_secs(1)).await;
    let steps = saga(2).step::<Note>().check::<Carry>().build().unwrap();
    let builder = builder(&world.store, &world.transport, &world.books);
    let carrying = builder.register(&steps).start().await.unwrap();
    let order = Order { name: "heavy".into(), waits: false, stamp: None };
    let saga = carrying.start(order).await.unwrap();
    let SagaOutcome::Parked { reason } = saga.outcome().await.unwrap() else { panic!("it parks") };
    assert!(reason.contains("a body of"), "{reason}");
    assert_eq!((world.books.notes(), world.books.runs()), (vec![], (1, 0)));
}

#[tokio::test]
async fn a_definition_whose_local_step_has_no_code_does_not_start() {
    let store = Arc::new(MemoryStore::default());
    let builder = || {
        Orchestrator::builder(store.clone(), Arc::new(MemoryTransport::default()), "replies")
            .register(&definition())
    };
    let missing = |started: Result<Orchestrator<MemoryStore>, _>| match started.err().unwrap() {
        OrchestratorError::NoLocalHandler { command_type, .. } => command_type,
        error => panic!("{error}"),
    };
    assert_eq!(missing(builder().start().await), "note");
    let shared = || service::<Local, _, _>(Shared(Arc::default()));
    assert_eq!(missing(builder().local(shared().handle::<Note>()).start().await), "erase");
    assert!(builder().local(handlers(Arc::default())).start().await.is_ok());
}

macro_rules! commands {
    ($($name:ident $type:literal $reply:ty;)+) => {
        $(
            #[derive(Serialize, Deserialize)]
            struct $name { order: String }
            impl Command for $name {
                const TYPE: &'static str = $type;
                type Participant = Local;
                type Reply = $reply;
                type Refusal = ();
            }
        )+
    };
}
commands!(Note "note" u32; Erase "erase" (); Stamp "stamp" (); Unstamp "unstamp" (););
impl Undoes<Note> for Erase {}
impl Undoes<Stamp> for Unstamp {}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Order {
    name: String,
    waits: bool,
    stamp: Option<u32>,
}
impl Saga for Order {
    const NAME: &'static str = "order";
}

impl Step<Order> for Note {
    fn command(order: &Order) -> Self {
        Note { order: order.name.clone() }
    }

    fn on_reply(order: &mut Order, stamp: u32) {
        order.stamp = Some(stamp);
    }
}
impl Compensate<Order> for Note {
    type Undo = Erase;

    fn undo(order: &Order, _: Outcome<u32>) -> Erase {
        Erase { order: order.name.clone() }
    }
}
impl Step<Order> for Stamp {
    fn command(order: &Order) -> Self {
        assert!(order.name != "unstampable", "no stamp for it");
        Stamp { order: order.name.clone() }
    }
}
impl Retriable<Order> for Stamp {}
impl Compensate<Order> for Stamp {
    type Undo = Unstamp;

    fn undo(order: &Order, _: Outcome<()>) -> Unstamp {
        assert!(order.name != "unerasable", "no eraser for it");
        Unstamp { order: order.name.clone() }
    }
}

struct Carrier;
impl Participant for Carrier {
    const NAME: &'static str = "carrier";
}

/// More than a message may hold, if the order is heavy.
#[derive(Serialize, Deserialize)]
struct Carry {
    load: String,
}
impl Command for Carry {
    const TYPE: &'static str = "carry";
    type Participant = Carrier;
    type Reply = ();
    type Refusal = ();
}
impl Step<Order> for Carry {
    fn command(order: &Order) -> Self {
        let bytes = if order.name == "heavy" { BODY_BYTES_MAX } else { 1 };
        Carry { load: "x".repeat(bytes) }
    }
}
impl NothingToUndo<Order> for Carry {}

#[derive(Serialize, Deserialize)]
struct GoOn;
impl Signal<Order> for GoOn {
    const NAME: &'static str = "go-on";

    fn deadline() -> Duration {
        Duration::from_secs(3600)
    }
}

fn definition() -> Definition<Order> {
    saga(1).step::<Note>().wait::<GoOn>().when(|order: &Order| order.waits).pivot::<Stamp>().build().unwrap()
}

#[derive(Clone, Copy, Debug, Default)]
enum Mood {
    #[default]
    Well,
    Refuses,
    Fails(u32),
    Panics(u32),
    Hangs(u32),
    Waits,
    Slow(Duration),
    OneRefuses,
    OnePanics,
    OneHangs,
}

const SLOW: Mood = Mood::Slow(Duration::from_millis(30));

/// A full transaction of these takes less time than one may that is shared.
const SLOW_ENOUGH_TO_GATHER: Mood = Mood::Slow(Duration::from_millis(1));

#[derive(Default)]
struct Books {
    mood: Mood,
    notes: Mutex<BTreeMap<String, u32>>,
    done: AtomicU32,
    undone: AtomicU32,
    entered: Notify,
    go: Notify,
    /// How many handlers have run in the transaction that each worker has open.
    open: Mutex<BTreeMap<tokio::task::Id, usize>>,
    /// The same for each that was committed.
    sizes: Mutex<Vec<usize>>,
}

impl Books {
    /// Counts a handler that runs, in the transaction of the worker whose task this is.
    fn run(&self) {
        *self.open.lock().unwrap().entry(tokio::task::id()).or_default() += 1;
    }

    /// Counts a transaction that commits, when the first of its handlers hears of it.
    fn committed(&self) {
        self.sizes.lock().unwrap().extend(self.open.lock().unwrap().remove(&tokio::task::id()));
    }

    fn notes(&self) -> Vec<(String, u32)> {
        self.notes.lock().unwrap().clone().into_iter().collect()
    }

    /// How often the note's handler and its undo were run.
    fn runs(&self) -> (u32, u32) {
        (self.done.load(Ordering::SeqCst), self.undone.load(Ordering::SeqCst))
    }
}

#[derive(Clone, Default)]
struct Shared(Arc<Books>);

impl Shared {
    fn count(&self, tx: &mut MemoryWorkTx, order: String) {
        let books = self.0.clone();
        books.run();
        tx.on_commit(move || {
            books.committed();
            *books.notes.lock().unwrap().entry(order).or_default() += 1;
        });
    }
}

impl Handle<Note, MemoryWorkTx> for Shared {
    async fn handle(&self, command: Note, tx: &mut MemoryWorkTx) -> Handled<Note> {
        let is_unlucky = command.order == "order 7";
        self.count(tx, command.order);
        let run = self.0.done.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.entered.notify_one();
        match self.0.mood {
            Mood::Refuses => return Ok(Reply::Refused(())),
            Mood::Fails(times) if run <= times => return Err(Fault::temporary("not now")),
            Mood::Panics(times) if run <= times => panic!("this handler panics"),
            Mood::Hangs(times) if run <= times => std::future::pending().await,
            Mood::Waits if run == 1 => self.0.go.notified().await,
            Mood::Slow(length) => tokio::time::sleep(length).await,
            Mood::OneRefuses if is_unlucky => return Ok(Reply::Refused(())),
            Mood::OnePanics if is_unlucky => panic!("this handler panics"),
            Mood::OneHangs if is_unlucky => std::future::pending().await,
            Mood::Well | Mood::Fails(_) | Mood::Panics(_) | Mood::Hangs(_) | Mood::Waits => {}
            Mood::OneRefuses | Mood::OnePanics | Mood::OneHangs => {}
        }
        Ok(Reply::Done(3))
    }
}

impl Undo<Note, Erase, MemoryWorkTx> for Shared {
    async fn undo(&self, command: Erase, did: u32, tx: &mut MemoryWorkTx) -> Result<(), Fault> {
        assert_eq!(did, 3);
        self.0.undone.fetch_add(1, Ordering::SeqCst);
        let books = self.0.clone();
        tx.on_commit(move || {
            books.notes.lock().unwrap().remove(&command.order);
        });
        Ok(())
    }
}

impl Undo<Stamp, Unstamp, MemoryWorkTx> for Shared {
    async fn undo(&self, _: Unstamp, (): (), _: &mut MemoryWorkTx) -> Result<(), Fault> {
        Ok(())
    }
}

impl Handle<Stamp, MemoryWorkTx> for Shared {
    async fn handle(&self, command: Stamp, tx: &mut MemoryWorkTx) -> Handled<Stamp> {
        self.count(tx, command.order);
        Ok(Reply::Done(()))
    }
}

fn handlers(books: Arc<Books>) -> Service<Local, Shared, MemoryWorkTx> {
    service(Shared(books)).handle::<Note>().undo::<Note, Erase>().handle::<Stamp>().undo::<Stamp, Unstamp>()
}

struct World {
    store: Arc<MemoryStore>,
    transport: MemoryTransport,
    books: Arc<Books>,
    orchestrator: Orchestrator<MemoryStore>,
}

impl World {
    async fn start(mood: Mood) -> Self {
        let store = Arc::new(MemoryStore::new(Arc::new(TokioClock::default())));
        let transport = MemoryTransport::default();
        let books = Arc::new(Books { mood, ..Books::default() });
        let orchestrator = orchestrator(&store, &transport, &books).await;
        World { store, transport, books, orchestrator }
    }

    async fn another(&self) -> Orchestrator<MemoryStore> {
        orchestrator(&self.store, &self.transport, &self.books).await
    }

    /// An orchestrator in which as many sagas as this share a transaction, instead of the first.
    async fn sharing(&self, steps: usize) -> Orchestrator<MemoryStore> {
        self.orchestrator.stop(Duration::from_secs(1)).await;
        let builder = builder(&self.store, &self.transport, &self.books);
        builder.local_steps_per_transaction(steps).start().await.unwrap()
    }

    async fn begin(&self, name: &str) -> SagaHandle<MemoryStore, Order> {
        let order = Order { name: name.into(), waits: false, stamp: None };
        self.orchestrator.start(order).await.unwrap()
    }

    /// A saga that has done its note, and waits.
    async fn waiting(&self, name: &str) -> SagaHandle<MemoryStore, Order> {
        let order = Order { name: name.into(), waits: true, stamp: None };
        let saga = self.orchestrator.start(order).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        saga
    }

    /// How a saga ends, and the stamp that its data then has.
    async fn until_ended(&self, saga: &SagaHandle<MemoryStore, Order>) -> (Status, Option<u32>) {
        match saga.outcome().await.unwrap() {
            SagaOutcome::Completed(order) => (Status::Completed, order.stamp),
            SagaOutcome::Compensated { data, .. } => (Status::Compensated, data.stamp),
            SagaOutcome::Parked { reason } => panic!("it parks: {reason}"),
        }
    }
}

async fn orchestrator(
    store: &Arc<MemoryStore>,
    transport: &MemoryTransport,
    books: &Arc<Books>,
) -> Orchestrator<MemoryStore> {
    builder(store, transport, books).start().await.unwrap()
}

fn builder(
    store: &Arc<MemoryStore>,
    transport: &MemoryTransport,
    books: &Arc<Books>,
) -> OrchestratorBuilder<MemoryStore> {
    let builder = Orchestrator::builder(store.clone(), Arc::new(transport.connect()), "replies");
    builder.register(&definition()).local(handlers(books.clone()))
}
