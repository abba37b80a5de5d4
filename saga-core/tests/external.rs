//! External handlers that go wrong: what nobody knows is asked again under the same key, what landed late is taken
//! back, and what takes the process down is recognised.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use common::{CapturePayment, Payment};
use saga_core::id::{Destination, MessageId};
use saga_core::memory::{MemoryFence, MemoryStore, MemoryTransport};
use saga_core::message::Fault;
use saga_core::policy::Retry;
use saga_core::port::{SubscribeOptions, Transport};
use saga_core::runtime::{
    External, Handled, Orchestrator, Participating, Reply, SagaHandle, SagaOutcome, participant, service,
};
use saga_core::{Command, Compensate, Outcome, Saga, Step, Undoes, saga};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

#[tokio::test(start_paused = true)]
async fn a_call_without_an_answer_is_made_again_under_the_same_key() {
    for trouble in [Trouble::Fails(2), Trouble::Panics(2), Trouble::Hangs(2)] {
        let world = World::start(trouble).await;
        let outcome = world.saga().await.outcome().await.unwrap();
        assert!(matches!(outcome, SagaOutcome::Completed(_)), "{trouble:?}: {outcome:?}");
        let books = world.gateway.books();
        assert_eq!(books.calls.values().copied().collect::<Vec<_>>(), [3], "{trouble:?}: calls of one key");
        assert!(books.undos.is_empty(), "{trouble:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_never_has_an_answer_is_undone_by_its_key() {
    for trouble in [Trouble::Fails(u32::MAX), Trouble::Panics(u32::MAX), Trouble::Hangs(u32::MAX)] {
        let world = World::start(trouble).await;
        let outcome = world.saga().await.outcome().await.unwrap();
        assert!(matches!(outcome, SagaOutcome::Compensated { .. }), "{trouble:?}: {outcome:?}");
        let books = world.gateway.books();
        assert_eq!(books.undos.keys().collect::<Vec<_>>(), books.calls.keys().collect::<Vec<_>>());
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_call_is_undone_however_often_that_fails_and_its_command_not_acked_before() {
    let world = World::start(Trouble::LateAndUndoFails(200)).await;
    let saga = world.saga().await;
    assert!(matches!(saga.outcome().await.unwrap(), SagaOutcome::Compensated { .. }));
    assert_eq!(world.gateway.charged(), 0, "nobody was charged yet");
    world.gateway.land.notify_waiters();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(world.gateway.charged(), 1, "the call has landed behind its undo");
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(world.gateway.charged(), 0, "and is taken back");
}

#[tokio::test(start_paused = true)]
async fn a_late_call_that_cannot_be_undone_goes_to_the_dead_letters() {
    let world = World::start(Trouble::LateAndUndoIsWrong).await;
    let saga = world.saga().await;
    assert!(matches!(saga.outcome().await.unwrap(), SagaOutcome::Compensated { .. }));
    world.gateway.land.notify_waiters();
    let source = Destination::new("payment.dead").unwrap();
    let options = SubscribeOptions { source, group: "test".into(), in_flight_max: 1 };
    let mut dead = world.transport.subscribe(options).await.unwrap();
    let dead = timeout(Duration::from_secs(60), dead.receive(1)).await.unwrap().unwrap();
    assert_eq!(dead.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_takes_the_process_down_is_recognised() {
    let mut world = World::start(Trouble::Kills).await;
    let saga = world.saga().await;
    for deaths in 0..20 {
        tokio::select! {
            biased;
            () = world.gateway.died.notified() => world.restart().await,
            outcome = saga.outcome() => {
                let SagaOutcome::Parked { reason } = outcome.unwrap() else { panic!("it parks") };
                assert!(reason.contains("took the whole process down 5 times"), "{reason}");
                assert_eq!(deaths, 6, "once uncounted, and five times counted");
                return;
            }
        }
    }
    panic!("the call is not recognised");
}

#[tokio::test(start_paused = true)]
async fn a_close_that_finds_a_call_begun_has_it_made_again() {
    let world = World::start(Trouble::Fails(4)).await;
    let pivot = saga::<PayOrNot>(1).pivot::<CapturePayment>().build().unwrap();
    let orchestrator = Orchestrator::builder(Arc::default(), Arc::new(world.transport.connect()), "closing");
    let orchestrator: Orchestrator<MemoryStore> = orchestrator.register(&pivot).start().await.unwrap();
    let saga = orchestrator.start(PayOrNot).await.unwrap();
    let outcome = timeout(Duration::from_secs(3600), saga.outcome()).await.expect("it ends").unwrap();
    assert!(matches!(outcome, SagaOutcome::Completed(_)), "{outcome:?}");
}

#[derive(Clone, Copy, Debug)]
enum Trouble {
    Fails(u32),
    Panics(u32),
    Hangs(u32),
    Kills,
    LateAndUndoFails(u32),
    LateAndUndoIsWrong,
}

#[derive(Debug, Serialize, Deserialize)]
struct Pay;
impl Saga for Pay {
    const NAME: &'static str = "pay";
}

#[derive(Debug, Serialize, Deserialize)]
struct PayOrNot;
impl Saga for PayOrNot {
    const NAME: &'static str = "pay-or-not";
}

impl Step<PayOrNot> for CapturePayment {
    fn command(_: &PayOrNot) -> Self {
        CapturePayment { amount: 10 }
    }

    fn retry() -> Retry {
        Retry::default().attempts(2).close_when_spent()
    }
}

#[derive(Serialize, Deserialize)]
struct Refund;
impl Command for Refund {
    const TYPE: &'static str = "payment.refund.v1";
    type Participant = Payment;
    type Reply = ();
    type Refusal = ();
}
impl Undoes<CapturePayment> for Refund {}

impl Step<Pay> for CapturePayment {
    fn command(_: &Pay) -> Self {
        CapturePayment { amount: 10 }
    }
}
impl Compensate<Pay> for CapturePayment {
    type Undo = Refund;

    fn undo(_: &Pay, _: Outcome<()>) -> Refund {
        Refund
    }
}

#[derive(Clone, Default)]
struct Books {
    calls: HashMap<MessageId, u32>,
    undos: HashMap<MessageId, u32>,
    charged: HashMap<MessageId, bool>,
}

/// A gateway that charges a key once, and remembers no key that it was never charged for.
struct Gateway {
    trouble: Trouble,
    books: Mutex<Books>,
    land: Notify,
    died: Notify,
}

impl Gateway {
    fn books(&self) -> Books {
        self.books.lock().unwrap().clone()
    }

    fn charged(&self) -> usize {
        self.books().charged.values().filter(|charged| **charged).count()
    }

    fn charge(&self, key: MessageId) {
        self.books.lock().unwrap().charged.entry(key).or_insert(true);
    }
}

struct Shared(Arc<Gateway>);

impl External<CapturePayment> for Shared {
    async fn call(&self, _: CapturePayment, key: MessageId) -> Handled<CapturePayment> {
        let calls =
            *self.0.books.lock().unwrap().calls.entry(key).and_modify(|calls| *calls += 1).or_insert(1);
        match self.0.trouble {
            Trouble::Fails(times) if calls <= times => return Err(Fault::temporary("no answer")),
            Trouble::Panics(times) if calls <= times => panic!("this call panics"),
            Trouble::Hangs(times) if calls <= times => std::future::pending().await,
            Trouble::Kills => {
                self.0.died.notify_one();
                std::future::pending().await
            }
            Trouble::LateAndUndoFails(_) | Trouble::LateAndUndoIsWrong => self.0.land.notified().await,
            Trouble::Fails(_) | Trouble::Panics(_) | Trouble::Hangs(_) => {}
        }
        self.0.charge(key);
        Ok(Reply::Done(()))
    }

    async fn undo(&self, key: MessageId, _: Outcome<()>) -> Result<(), Fault> {
        let undos =
            *self.0.books.lock().unwrap().undos.entry(key).and_modify(|undos| *undos += 1).or_insert(1);
        match self.0.trouble {
            Trouble::LateAndUndoFails(times) if undos > 1 && undos <= times => {
                return Err(Fault::temporary("no answer"));
            }
            Trouble::LateAndUndoIsWrong if undos > 1 => return Err(Fault::permanent("a bug")),
            _ => {}
        }
        if let Some(charged) = self.0.books.lock().unwrap().charged.get_mut(&key) {
            *charged = false;
        }
        Ok(())
    }
}

struct World {
    transport: MemoryTransport,
    fence: Arc<MemoryFence<()>>,
    gateway: Arc<Gateway>,
    orchestrator: Orchestrator<MemoryStore>,
    payment: Option<Participating<MemoryFence<()>>>,
}

impl World {
    async fn start(trouble: Trouble) -> Self {
        let transport = MemoryTransport::default();
        let pay = saga::<Pay>(1).step::<CapturePayment>().build().unwrap();
        let orchestrator = Orchestrator::builder(Arc::default(), Arc::new(transport.connect()), "replies");
        let orchestrator = orchestrator.register(&pay).start().await.unwrap();
        let (land, died) = (Notify::new(), Notify::new());
        let gateway = Arc::new(Gateway { trouble, books: Mutex::default(), land, died });
        let mut world = World { transport, fence: Arc::default(), gateway, orchestrator, payment: None };
        world.restart().await;
        world
    }

    /// Another life of the payment's process.
    async fn restart(&mut self) {
        drop(self.payment.take());
        let handlers = service::<Payment, _, _>(Shared(self.gateway.clone()))
            .external::<CapturePayment>()
            .external_undo::<CapturePayment, Refund>();
        let is_late =
            matches!(self.gateway.trouble, Trouble::LateAndUndoFails(_) | Trouble::LateAndUndoIsWrong);
        let limit = if is_late { Duration::from_secs(100_000) } else { Duration::from_secs(1) };
        let payment = participant(handlers, self.fence.clone(), Arc::new(self.transport.connect()));
        self.payment = Some(payment.handler_timeout(limit).start().await.unwrap());
    }

    async fn saga(&self) -> SagaHandle<MemoryStore, Pay> {
        self.orchestrator.start(Pay).await.unwrap()
    }
}
