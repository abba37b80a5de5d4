//! Sagas that run others as their steps, over the real runtimes: an order runs a delivery, which another orchestrator
//! runs over a store of its own.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::time::Duration;

use saga_core::id::{CommandType, Destination, Direction, MessageId, SagaId, StepName};
use saga_core::machine::Status;
use saga_core::memory::{MemoryFence, MemoryStore, MemoryTransport, MemoryTx};
use saga_core::message::{CommandMessage, Fault, Payload, ReleaseMessage, ReplyMessage, TraceParent};
use saga_core::policy::{Retry, Timestamp};
use saga_core::port::{
    Change, Commit, Fence, JournalEntry, SagaDetails, Store, SubscribeOptions, Subscription, Transport,
};
use saga_core::runtime::{
    ChildElsewhere, Handle, Handled, OperateError, Orchestrator, OrchestratorError, Participating, Reply,
    SagaOutcome, Undo, participant, service,
};
use saga_core::{
    Command, Compensate, Definition, DefinitionError, NotRun, NothingToUndo, Outcome, Participant, Run, Saga,
    Signal, Step, SubSaga, Undoes, saga,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

struct Carrier;
impl Participant for Carrier {
    const NAME: &'static str = "carrier";
}

/// The orchestrator of deliveries.
struct Shipping;
impl Participant for Shipping {
    const NAME: &'static str = "shipping";
}

macro_rules! command {
    ($name:ident, $type:literal, $reply:ty) => {
        #[derive(Debug, Serialize, Deserialize)]
        struct $name(u32);
        impl Command for $name {
            const TYPE: &'static str = $type;
            type Participant = Carrier;
            type Reply = $reply;
            type Refusal = String;
        }
    };
}
command!(Book, "carrier.book.v1", u32);
command!(Unbook, "carrier.unbook.v1", ());
command!(Pay, "carrier.pay.v1", ());
impl Undoes<Book> for Unbook {}

/// A parcel of some weight; the carrier takes up to ten, and books it under a number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Delivery {
    weight: u32,
    booking: Option<u32>,
}
impl Saga for Delivery {
    const NAME: &'static str = "delivery";
}
impl SubSaga for Delivery {
    type Orchestrator = Shipping;
}
impl Step<Delivery> for Book {
    fn command(delivery: &Delivery) -> Self {
        Book(delivery.weight)
    }

    fn on_reply(delivery: &mut Delivery, booking: u32) {
        delivery.booking = Some(booking);
    }
}
impl Compensate<Delivery> for Book {
    type Undo = Unbook;

    fn undo(delivery: &Delivery, _: Outcome<u32>) -> Unbook {
        Unbook(delivery.weight)
    }
}

/// Whether the parcel is packed.
#[derive(Serialize, Deserialize)]
struct Packed;
impl Signal<Delivery> for Packed {
    const NAME: &'static str = "packed";

    fn deadline() -> Duration {
        Duration::from_secs(24 * 3600)
    }
}

fn delivery() -> Definition<Delivery> {
    saga(1).step::<Book>().wait::<Packed>().when(|delivery| delivery.weight > 5).build().unwrap()
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    weight: u32,
    price: u32,
    booking: Option<u32>,
    why_not: Option<String>,
}
impl Order {
    fn of(weight: u32, price: u32) -> Self {
        Order { weight, price, booking: None, why_not: None }
    }
}
impl Saga for Order {
    const NAME: &'static str = "order";
}
impl Step<Order> for Run<Delivery> {
    fn command(order: &Order) -> Self {
        Run(Delivery { weight: order.weight, booking: None })
    }

    fn on_reply(order: &mut Order, delivery: Delivery) {
        order.booking = delivery.booking;
    }

    fn on_refused(order: &mut Order, refusal: NotRun<Delivery>) {
        order.why_not = Some(refusal.why);
    }

    fn retry() -> Retry {
        Retry::default().attempts(2).timeout(Duration::from_secs(2))
    }
}
impl Step<Order> for Pay {
    fn command(order: &Order) -> Self {
        Pay(order.price)
    }
}
impl NothingToUndo<Order> for Run<Delivery> {}

fn order() -> Definition<Order> {
    saga(1).step::<Run<Delivery>>().pivot::<Pay>().build().unwrap()
}

/// The weight that is booked.
struct Trucks;
impl Handle<Book, MemoryTx<u32>> for Trucks {
    async fn handle(&self, Book(weight): Book, tx: &mut MemoryTx<u32>) -> Handled<Book> {
        if weight > 10 {
            return Ok(Reply::Refused("too heavy".into()));
        }
        *tx.data_mut() += weight;
        Ok(Reply::Done(weight * 100))
    }
}
impl Undo<Book, Unbook, MemoryTx<u32>> for Trucks {
    async fn undo(&self, Unbook(weight): Unbook, _: u32, tx: &mut MemoryTx<u32>) -> Result<(), Fault> {
        *tx.data_mut() -= weight;
        Ok(())
    }
}
impl Handle<Pay, MemoryTx<u32>> for Trucks {
    async fn handle(&self, Pay(price): Pay, _: &mut MemoryTx<u32>) -> Handled<Pay> {
        match price {
            0..100 => Ok(Reply::Done(())),
            _ => Ok(Reply::Refused("no money".into())),
        }
    }
}

struct World {
    transport: Arc<MemoryTransport>,
    orders: Orchestrator<MemoryStore>,
    shipping: Orchestrator<MemoryStore>,
    deliveries: Arc<MemoryStore>,
    fence: Arc<MemoryFence<u32>>,
    _carrier: Participating<MemoryFence<u32>>,
}

impl World {
    async fn start() -> Self {
        let transport = Arc::new(MemoryTransport::default());
        let fence = Arc::new(MemoryFence::<u32>::default());
        let trucks = service::<Carrier, _, _>(Trucks).handle::<Book>().undo::<Book, Unbook>().handle::<Pay>();
        let carrier = participant(trucks, fence.clone(), transport.clone()).start().await.unwrap();
        let builder = |store, replies: &str| Orchestrator::builder(store, transport.clone(), replies);
        let orders = builder(Arc::default(), "orders.replies").register(&order()).start().await.unwrap();
        let deliveries = Arc::new(MemoryStore::default());
        let shipping = builder(deliveries.clone(), "shipping.replies").register_sub_saga(&delivery());
        let shipping = shipping.start().await.unwrap();
        World { transport, orders, shipping, deliveries, fence, _carrier: carrier }
    }

    async fn booked(&self) -> u32 {
        *self.fence.begin(&[]).await.unwrap().0.data()
    }

    /// A saga that shipping runs, once one stands so.
    async fn delivery(&self, wanted: Status) -> SagaDetails {
        loop {
            let found = self.shipping.list(&Default::default(), 10).await.unwrap();
            if let Some(delivery) = found.iter().find(|delivery| delivery.status == wanted) {
                return self.shipping.show(delivery.id).await.unwrap().unwrap();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn read(&self, source: &Destination) -> Box<dyn Subscription> {
        self.transport.declare(std::slice::from_ref(source)).await.unwrap();
        let options = SubscribeOptions { source: source.clone(), group: "test".into(), in_flight_max: 1 };
        self.transport.subscribe(options).await.unwrap()
    }

    /// Stores a saga as a build would that is newer than this one.
    async fn rewrite(&self, saga: &SagaDetails) {
        let SagaDetails { summary, stored, .. } = saga;
        let version = summary.version + 1;
        let entry = JournalEntry {
            version,
            event: "{}".into(),
            now: Timestamp::default(),
            decision: "as it was".into(),
        };
        let commit = Commit {
            id: stored.id,
            change: Change::Move { expected: summary.version },
            status: stored.status,
            state: r#"{"v":4711}"#.into(),
            data: stored.data.clone(),
            parked: None,
            journal: vec![entry],
            outbox: Vec::new(),
            timers: Vec::new(),
        };
        self.deliveries.commit(&[commit], Duration::ZERO).await.remove(0).unwrap();
    }

    /// Sends what a parent would send of the step `delivery`, and returns the answer.
    async fn ask(
        &self,
        direction: Direction,
        command_type: &str,
        body: Payload,
        not_after: i64,
    ) -> ReplyMessage {
        let (saga, step) = (SagaId::from_uuid(Uuid::from_u128(7)), StepName::new("delivery").unwrap());
        let reply_to = Destination::new("somebody").unwrap();
        let command_type = CommandType::new(command_type).unwrap();
        let trace = TraceParent::of_message(saga, MessageId::command(saga, &step, direction));
        let not_after = Timestamp::from_micros(not_after);
        let mut replies = self.read(&reply_to).await;
        let message = CommandMessage {
            saga,
            step,
            direction,
            attempt: 4,
            command_type,
            reply_to,
            not_after,
            trace,
            body,
        };
        let sent = self.transport.publish(&[message.encode(Destination::new("shipping").unwrap())]).await;
        sent.into_iter().for_each(|sent| sent.unwrap());
        let reply = replies.receive(1).await.unwrap().remove(0);
        replies.settler().settle(&[(reply.token, saga_core::port::Settlement::Ack)]).await;
        ReplyMessage::decode(&reply.envelope).unwrap()
    }
}

fn parcel(weight: u32) -> Payload {
    Payload::encode(&Delivery { weight, booking: None }).unwrap()
}

const LATER: i64 = i64::MAX;

#[tokio::test(start_paused = true)]
async fn a_child_is_run_and_released_when_its_parent_has_completed() {
    let world = World::start().await;
    let order = world.orders.start(Order::of(3, 30)).await.unwrap();
    let outcome = order.outcome().await.unwrap();
    assert!(matches!(outcome, SagaOutcome::Completed(order) if order.booking == Some(300)));
    let child = world.delivery(Status::Completed).await;
    assert_eq!(child.summary.parent, Some((order.id(), StepName::new("delivery").unwrap())));
    assert_eq!(child.summary.id, order.id().child(&StepName::new("delivery").unwrap()));
    assert_eq!(world.booked().await, 3);
}

#[tokio::test(start_paused = true)]
async fn a_child_that_is_through_is_compensated_with_its_parent() {
    let world = World::start().await;
    let order = world.orders.start(Order::of(3, 500)).await.unwrap();
    let outcome = order.outcome().await.unwrap();
    assert!(matches!(outcome, SagaOutcome::Compensated { data, .. } if data.booking == Some(300)));
    world.delivery(Status::Compensated).await;
    assert_eq!(world.booked().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_child_that_is_refused_says_why() {
    let world = World::start().await;
    let order = world.orders.start(Order::of(11, 30)).await.unwrap();
    let SagaOutcome::Compensated { data, .. } = order.outcome().await.unwrap() else {
        panic!("not compensated")
    };
    assert_eq!(data.why_not.as_deref(), Some("carrier.book.v1 was refused with \"too heavy\""));
}

/// The child waits for an hour; its parent has two attempts of two seconds.
#[tokio::test(start_paused = true)]
async fn a_child_that_takes_long_is_waited_for() {
    let world = World::start().await;
    let order = world.orders.start(Order::of(7, 30)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let child = world.delivery(Status::Running).await.summary.id;
    world.shipping.handle::<Delivery>(child).signal(Packed).await.unwrap();
    assert!(matches!(order.outcome().await.unwrap(), SagaOutcome::Completed(_)));
}

#[tokio::test(start_paused = true)]
async fn a_parent_that_is_cancelled_takes_back_a_child_that_is_under_way() {
    let world = World::start().await;
    let order = world.orders.start(Order::of(7, 30)).await.unwrap();
    world.delivery(Status::Running).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(world.booked().await, 7);
    world.orders.cancel(order.id(), "changed my mind").await.unwrap();
    assert!(matches!(order.outcome().await.unwrap(), SagaOutcome::Compensated { .. }));
    world.delivery(Status::Compensated).await;
    assert_eq!(world.booked().await, 0);
}

#[tokio::test(start_paused = true)]
async fn an_operator_cancels_a_child_that_is_under_way_and_not_one_that_is_through() {
    let world = World::start().await;
    let order = world.orders.start(Order::of(7, 30)).await.unwrap();
    let child = world.delivery(Status::Running).await.summary.id;
    world.shipping.cancel(child, "the truck is broken").await.unwrap();
    let SagaOutcome::Compensated { data, .. } = order.outcome().await.unwrap() else {
        panic!("not compensated")
    };
    assert_eq!(data.why_not.as_deref(), Some("cancelled: the truck is broken"));

    world.ask(Direction::Do, "delivery", parcel(1), LATER).await;
    let through = world.delivery(Status::Provisional).await.summary.id;
    let error = world.shipping.cancel(through, "too late").await.unwrap_err();
    assert!(
        matches!(error, OperateError::Refused(_)) && error.to_string().contains("cancel that one"),
        "{error}"
    );
}

/// Each message of a parent, several times and in an order that none would choose.
#[tokio::test(start_paused = true)]
async fn a_child_answers_whatever_it_is_asked_from_where_it_stands() {
    let world = World::start().await;
    for _ in 0..2 {
        assert_eq!(world.ask(Direction::Do, "delivery", parcel(3), LATER).await.answer.name(), "done");
    }
    assert_eq!(
        world.ask(Direction::Close, "delivery", Payload::default(), LATER).await.answer.name(),
        "done"
    );
    for _ in 0..2 {
        let undone = world.ask(Direction::Undo, "delivery", Payload::default(), LATER).await;
        assert_eq!((undone.answer.name(), undone.attempt), ("undone", 4));
    }
    assert_eq!(world.ask(Direction::Do, "delivery", parcel(3), LATER).await.answer.name(), "closed");
    assert_eq!(world.booked().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_child_that_is_taken_back_before_it_begins_never_does() {
    let world = World::start().await;
    let undone = world.ask(Direction::Undo, "delivery", Payload::encode(&()).unwrap(), LATER).await;
    assert_eq!(undone.answer.name(), "undone");
    assert_eq!(world.ask(Direction::Do, "delivery", parcel(3), LATER).await.answer.name(), "closed");
    let tombstone = world.delivery(Status::Compensated).await;
    assert_eq!((tombstone.journal.len(), world.booked().await), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_release_is_kept_as_a_dead_letter_if_its_saga_cannot_be_read() {
    let world = World::start().await;
    world.ask(Direction::Do, "delivery", parcel(3), LATER).await;
    let through = world.delivery(Status::Provisional).await;
    world.rewrite(&through).await;
    let shipping = Destination::new("shipping").unwrap();
    let (saga, step) = through.summary.parent.unwrap();
    let trace = TraceParent::of_message(saga, MessageId::release(saga, &step));
    let release = ReleaseMessage { saga, step, trace }.encode(shipping.clone());
    world.transport.publish(std::slice::from_ref(&release)).await.remove(0).unwrap();
    let mut dead_letters = world.read(&shipping.dead_letters()).await;
    let dead = tokio::time::timeout(Duration::from_secs(60), dead_letters.receive(1)).await;
    let dead = dead.expect("it is kept").unwrap().remove(0);
    assert_eq!(dead.envelope.id, release.id);
    let parked = world.delivery(Status::Parked).await;
    assert!(parked.summary.parked.is_some_and(|why| why.contains("format 4711")));
}

#[tokio::test(start_paused = true)]
async fn a_command_that_cannot_be_carried_out_says_what_is_wrong() {
    let world = World::start().await;
    let faults = [
        ("transport", parcel(3), LATER, "fault-permanent", "no saga \"transport\" is registered here"),
        ("delivery", Payload::encode(&"?").unwrap(), LATER, "fault-permanent", "saga \"delivery\": the data"),
        ("delivery", parcel(3), -1, "fault-temporary", "expired"),
    ];
    for (command_type, body, not_after, kind, why) in faults {
        let reply = world.ask(Direction::Do, command_type, body, not_after).await;
        let saga_core::message::Answer::Fault(fault) = &reply.answer else { panic!("{reply:?}") };
        assert!(reply.answer.name() == kind && fault.message.contains(why), "{fault}");
    }
    assert!(world.shipping.list(&Default::default(), 10).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_saga_shows_its_children() {
    let transport = Arc::new(MemoryTransport::default());
    let store = Arc::new(MemoryStore::default());
    let builder = Orchestrator::builder(store, transport, "replies");
    let orchestrator = builder.register(&order()).register_sub_saga(&delivery()).start().await.unwrap();
    let order = orchestrator.start(Order::of(7, 30)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let children = orchestrator.show(order.id()).await.unwrap().unwrap().children;
    assert_eq!(children.len(), 1);
    assert_eq!(children[0].parent, Some((order.id(), StepName::new("delivery").unwrap())));
    assert!(orchestrator.show(children[0].id).await.unwrap().unwrap().children.is_empty());
    let shown = orchestrator.show(order.id()).await.unwrap().unwrap();
    assert_eq!(orchestrator.children_elsewhere(&shown), [], "it is here");
}

#[tokio::test(start_paused = true)]
async fn a_saga_says_who_has_its_children_that_are_elsewhere() {
    let world = World::start().await;
    let order = world.orders.start(Order::of(3, 30)).await.unwrap();
    order.outcome().await.unwrap();
    let shown = world.orders.show(order.id()).await.unwrap().unwrap();
    assert_eq!(shown.children, []);
    let elsewhere = world.orders.children_elsewhere(&shown);
    let [ChildElsewhere { step, saga, orchestrator }] = &elsewhere[..] else { panic!("{elsewhere:?}") };
    assert_eq!((step.as_str(), orchestrator.as_str()), ("delivery", "shipping"));
    let child = world.shipping.show(*saga).await.unwrap().unwrap();
    assert_eq!(child.summary.parent, Some((order.id(), step.clone())));
}

#[tokio::test]
async fn a_saga_with_a_pivot_is_no_sub_saga() {
    #[derive(Serialize, Deserialize)]
    struct Payment;
    impl Saga for Payment {
        const NAME: &'static str = "payment";
    }
    impl SubSaga for Payment {
        type Orchestrator = Shipping;
    }
    impl Step<Payment> for Pay {
        fn command(_: &Payment) -> Self {
            Pay(1)
        }
    }
    let pivoted = saga::<Payment>(1).pivot::<Pay>().build().unwrap();
    let (store, transport) = (Arc::new(MemoryStore::default()), Arc::new(MemoryTransport::default()));
    let started =
        Orchestrator::builder(store, transport, "replies").register_sub_saga(&pivoted).start().await;
    let Err(error) = started else { panic!("it started") };
    assert!(matches!(error, OrchestratorError::SubSagaWithPivot(_)), "{error}");
    assert!(error.to_string().contains("leave the pivot to the other one"), "{error}");
}

#[test]
fn a_saga_is_run_where_it_can_be_taken_back_only() {
    for misplaced in
        [saga::<Order>(1).pivot::<Run<Delivery>>().build(), saga(1).check::<Run<Delivery>>().build()]
    {
        assert!(matches!(misplaced, Err(DefinitionError::SubSagaMisplaced { step: "delivery" })));
    }
}
