//! An order saga with two participants, all in memory but for the messages.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use saga_core::id::Destination;
use saga_core::memory::{MemoryFence, MemoryStore, MemoryTx};
use saga_core::message::{Envelope, Fault, NotificationMessage};
use saga_core::namespace::Namespaced;
use saga_core::port::{DEAD_REASON, Fence, SubscribeOptions, SystemClock, Transport};
use saga_core::runtime::{
    Handle, Handled, Hear, Orchestrator, Participating, Reply, Subscribing, Undo, participant, service,
    subscriber,
};
use saga_core::{Command, Compensate, Notification, Outcome, Participant, Saga, Step, Undoes, saga};
use serde::{Deserialize, Serialize};

use crate::suite::transport::Harness;

pub(super) struct Inventory;
impl Participant for Inventory {
    const NAME: &'static str = "inventory";
}

pub(super) struct Payment;
impl Participant for Payment {
    const NAME: &'static str = "payment";
}

#[derive(Serialize, Deserialize)]
pub(super) struct ReserveStock(u32);
impl Command for ReserveStock {
    const TYPE: &'static str = "inventory.reserve.v1";
    type Participant = Inventory;
    type Reply = u32;
    type Refusal = String;
}

#[derive(Serialize, Deserialize)]
pub(super) struct ReleaseStock(u32);
impl Command for ReleaseStock {
    const TYPE: &'static str = "inventory.release.v1";
    type Participant = Inventory;
    type Reply = ();
    type Refusal = ();
}
impl Undoes<ReserveStock> for ReleaseStock {}

#[derive(Serialize, Deserialize)]
pub(super) struct CapturePayment {
    amount: u32,
    note: String,
}
impl Command for CapturePayment {
    const TYPE: &'static str = "payment.capture.v1";
    type Participant = Payment;
    type Reply = ();
    type Refusal = String;
}

/// A command that payment has no handler for.
#[derive(Serialize, Deserialize)]
pub(super) struct AuditPayment;
impl Command for AuditPayment {
    const TYPE: &'static str = "payment.audit.v1";
    type Participant = Payment;
    type Reply = ();
    type Refusal = ();
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PlaceOrder {
    pub(super) items: u32,
    pub(super) amount: u32,
    pub(super) note: String,
}
impl Saga for PlaceOrder {
    const NAME: &'static str = "place-order";
}
impl Step<PlaceOrder> for ReserveStock {
    fn command(order: &PlaceOrder) -> Self {
        ReserveStock(order.items)
    }
}
impl Compensate<PlaceOrder> for ReserveStock {
    type Undo = ReleaseStock;

    fn undo(order: &PlaceOrder, _: Outcome<u32>) -> ReleaseStock {
        ReleaseStock(order.items)
    }
}
impl Step<PlaceOrder> for CapturePayment {
    fn command(order: &PlaceOrder) -> Self {
        CapturePayment { amount: order.amount, note: order.note.clone() }
    }
}

/// A saga whose only command nobody handles.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Audit;
impl Saga for Audit {
    const NAME: &'static str = "audit";
}
impl Step<Audit> for AuditPayment {
    fn command(_: &Audit) -> Self {
        AuditPayment
    }
}

/// A saga that only tells something.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Announce(pub(super) u32);
impl Saga for Announce {
    const NAME: &'static str = "announce";
}

#[derive(Serialize, Deserialize)]
pub(super) struct Announced(u32);
impl Notification<Announce> for Announced {
    const TYPE: &'static str = "suite.announced.v1";
    const TOPICS: &'static [&'static str] = &["announcements"];

    fn of(announce: &Announce) -> Self {
        Announced(announce.0)
    }
}

/// A service that notes what it hears.
#[derive(Clone, Default)]
pub(super) struct Listener(Arc<Mutex<BTreeSet<u32>>>);

impl Listener {
    /// Waits until it has heard of `count` different things.
    pub(super) async fn until_heard(&self, count: usize) {
        let heard = async {
            while self.0.lock().expect("nobody panics with the lock").len() < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, heard).await.expect("a subscriber hears all that is told");
    }
}

impl Hear<Announced> for Listener {
    async fn hear(&self, told: Announced, _: &NotificationMessage) -> Result<(), Fault> {
        self.0.lock().expect("nobody panics with the lock").insert(told.0);
        Ok(())
    }
}

struct Stock;
impl Handle<ReserveStock, MemoryTx<u32>> for Stock {
    async fn handle(&self, command: ReserveStock, tx: &mut MemoryTx<u32>) -> Handled<ReserveStock> {
        if *tx.data() < command.0 {
            return Ok(Reply::Refused("out of stock".into()));
        }
        *tx.data_mut() -= command.0;
        Ok(Reply::Done(command.0))
    }
}
impl Undo<ReserveStock, ReleaseStock, MemoryTx<u32>> for Stock {
    async fn undo(&self, command: ReleaseStock, did: u32, tx: &mut MemoryTx<u32>) -> Result<(), Fault> {
        assert_eq!(command.0, did, "the undo gets what its own command answered");
        *tx.data_mut() += did;
        Ok(())
    }
}

struct Accounts;
impl Handle<CapturePayment, MemoryTx<u32>> for Accounts {
    async fn handle(&self, command: CapturePayment, tx: &mut MemoryTx<u32>) -> Handled<CapturePayment> {
        match tx.data().checked_sub(command.amount) {
            Some(left) => *tx.data_mut() = left,
            None => return Ok(Reply::Refused("not enough money".into())),
        }
        Ok(Reply::Done(()))
    }
}

/// The participants and their orchestrators over one transport.
pub(super) struct World {
    pub(super) transport: Arc<dyn Transport>,
    pub(super) orchestrators: Vec<Orchestrator<MemoryStore>>,
    fences: [Arc<MemoryFence<u32>>; 2],
    _participants: [Participating<MemoryFence<u32>>; 2],
}

impl World {
    /// Everything running, with 1,000 items and as much money.
    pub(super) async fn start(harness: &dyn Harness, orchestrators: usize) -> Self {
        let prefix = harness.unique("world");
        let prefixed = |inner| Namespaced::around(inner, prefix.clone());
        let fence = || Arc::new(MemoryFence::new(1000, Arc::new(SystemClock)));
        let fences = [fence(), fence()];
        let stock =
            service::<Inventory, _, _>(Stock).handle::<ReserveStock>().undo::<ReserveStock, ReleaseStock>();
        let accounts = service::<Payment, _, _>(Accounts).handle::<CapturePayment>();
        let inventory =
            participant(stock, fences[0].clone(), prefixed(harness.connect().await)).start().await;
        let payment =
            participant(accounts, fences[1].clone(), prefixed(harness.connect().await)).start().await;
        let participants = [inventory.expect("inventory starts"), payment.expect("payment starts")];
        let store = Arc::new(MemoryStore::default());
        let transport = prefixed(harness.connect().await);
        let mut world = World { transport, orchestrators: Vec::new(), fences, _participants: participants };
        for _ in 0..orchestrators {
            let transport = prefixed(harness.connect().await);
            world.orchestrators.push(orchestrator(store.clone(), transport).await);
        }
        world
    }

    /// The stock and the money that are left.
    pub(super) async fn left(&self) -> [u32; 2] {
        let mut left = [0; 2];
        for (left, fence) in left.iter_mut().zip(&self.fences) {
            *left = *fence.begin(&[]).await.expect("memory is there").0.data();
        }
        left
    }

    /// Publishes a message as somebody else would.
    pub(super) async fn inject(&self, envelope: Envelope) {
        for result in self.transport.publish(&[envelope]).await {
            result.expect("the broker takes the message");
        }
    }

    /// Subscribes to the announcements.
    pub(super) async fn subscribe(&self, group: &str) -> (Listener, Subscribing) {
        let listener = Listener::default();
        let topic = Announced::TOPICS[0];
        let subscriber = subscriber(self.transport.clone(), topic, group, listener.clone());
        let subscribing = subscriber.hears::<Announced>(Announced::TYPE).start().await;
        (listener, subscribing.expect("a subscriber starts"))
    }

    /// The reason of the one message that comes to the dead letters of `destination`, and its body.
    pub(super) async fn dead_letter(&self, destination: &str) -> (String, Vec<u8>) {
        let source = Destination::new(destination).expect("a proper name").dead_letters();
        let options = SubscribeOptions { group: source.to_string(), source, in_flight_max: 10 };
        let mut subscription = self.transport.subscribe(options).await.expect("dead letters can be read");
        let received = tokio::time::timeout(PATIENCE, subscription.receive(1)).await;
        let dead = received.expect("a dead letter comes").expect("reading dead letters").remove(0);
        let reason = dead.envelope.headers.value(DEAD_REASON).expect("a dead letter has a reason");
        (reason.to_owned(), dead.envelope.body.to_vec())
    }
}

async fn orchestrator(store: Arc<MemoryStore>, transport: Arc<dyn Transport>) -> Orchestrator<MemoryStore> {
    let order =
        saga(1).step::<ReserveStock>().pivot::<CapturePayment>().build().expect("a proper definition");
    let audit = saga::<Audit>(1).pivot::<AuditPayment>().build().expect("a proper definition");
    let announce = saga::<Announce>(1).notify::<Announced>().build().expect("a proper definition");
    let builder = Orchestrator::builder(store, transport, REPLIES);
    let builder = builder.register(&order).register(&audit).register(&announce);
    builder.start().await.expect("the orchestrator starts")
}

/// Where the replies go.
pub(super) const REPLIES: &str = "orders.replies";

/// Far longer than anything takes on a slow machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
