//! A saga that runs another one, each in an orchestrator with a database of its own, over PostgreSQL and RabbitMQ.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::time::Duration;

use saga_broker::rabbitmq::{RabbitMq, RabbitMqConfig};
use saga_core::id::{Destination, StepName};
use saga_core::machine::Status;
use saga_core::memory::{MemoryFence, MemoryTx};
use saga_core::message::Fault;
use saga_core::namespace::Namespaced;
use saga_core::port::{Fence, IdSource, RandomIds, SystemClock};
use saga_core::runtime::{
    Handle, Handled, Orchestrator, Reply, SagaHandle, SagaOutcome, Undo, participant, service,
};
use saga_core::{Command, Compensate, NotRun, Outcome, Participant, Run, Saga, Step, SubSaga, Undoes, saga};
use saga_postgres::sqlx::Postgres;
use saga_postgres::sqlx::migrate::MigrateDatabase;
use saga_postgres::{Config, PgStore};
use saga_testkit::suite::server;
use serde::{Deserialize, Serialize};
use tokio::time::{sleep, timeout};

struct Carrier;
impl Participant for Carrier {
    const NAME: &'static str = "carrier";
}

struct Shipping;
impl Participant for Shipping {
    const NAME: &'static str = "shipping";
}

macro_rules! command {
    ($name:ident, $type:literal) => {
        #[derive(Debug, Serialize, Deserialize)]
        struct $name(u32);
        impl Command for $name {
            const TYPE: &'static str = $type;
            type Participant = Carrier;
            type Reply = ();
            type Refusal = String;
        }
    };
}
command!(Pay, "carrier.pay.v1");
command!(Book, "carrier.book.v1");

#[derive(Debug, Serialize, Deserialize)]
struct Unbook(u32);
impl Command for Unbook {
    const TYPE: &'static str = "carrier.unbook.v1";
    type Participant = Carrier;
    type Reply = ();
    type Refusal = ();
}
impl Undoes<Book> for Unbook {}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Delivery {
    weight: u32,
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
}
impl Compensate<Delivery> for Book {
    type Undo = Unbook;

    fn undo(delivery: &Delivery, _: Outcome<()>) -> Unbook {
        Unbook(delivery.weight)
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    weight: u32,
    price: u32,
    why_not: Option<String>,
}
impl Saga for Order {
    const NAME: &'static str = "order";
}
impl Step<Order> for Run<Delivery> {
    fn command(order: &Order) -> Self {
        Run(Delivery { weight: order.weight })
    }

    fn on_refused(order: &mut Order, refusal: NotRun<Delivery>) {
        order.why_not = Some(refusal.why);
    }
}
impl Step<Order> for Pay {
    fn command(order: &Order) -> Self {
        Pay(order.price)
    }
}

/// The weight that is booked.
struct Trucks;
impl Handle<Book, MemoryTx<u32>> for Trucks {
    async fn handle(&self, Book(weight): Book, tx: &mut MemoryTx<u32>) -> Handled<Book> {
        if weight > 10 {
            return Ok(Reply::Refused("too heavy".into()));
        }
        *tx.data_mut() += weight;
        Ok(Reply::Done(()))
    }
}
impl Undo<Book, Unbook, MemoryTx<u32>> for Trucks {
    async fn undo(&self, Unbook(weight): Unbook, (): (), tx: &mut MemoryTx<u32>) -> Result<(), Fault> {
        *tx.data_mut() -= weight;
        Ok(())
    }
}
impl Handle<Pay, MemoryTx<u32>> for Trucks {
    async fn handle(&self, Pay(price): Pay, _: &mut MemoryTx<u32>) -> Handled<Pay> {
        Ok(if price < 100 { Reply::Done(()) } else { Reply::Refused("no money".into()) })
    }
}

#[tokio::test]
async fn a_delivery_goes_the_way_of_its_order() {
    let (Some(url), Some(amqp)) = (server("SAGA_POSTGRES_URL"), server("SAGA_AMQP_URL")) else { return };
    let test = RandomIds.uuid().simple().to_string();
    let broker = Arc::new(RabbitMq::new(RabbitMqConfig::new(&amqp).unwrap()));
    let transport = Namespaced::around(broker, Destination::new(&test).unwrap());
    let fence = Arc::new(MemoryFence::new(0, Arc::new(SystemClock)));
    let trucks = service::<Carrier, _, _>(Trucks).handle::<Book>().undo::<Book, Unbook>().handle::<Pay>();
    let _carrier = participant(trucks, fence.clone(), transport.clone()).start().await.unwrap();
    let order = saga(1).step::<Run<Delivery>>().pivot::<Pay>().build().unwrap();
    let delivery = saga::<Delivery>(1).step::<Book>().build().unwrap();
    let builder = |store, replies| Orchestrator::builder(Arc::new(store), transport.clone(), replies);
    let shipping = builder(store(&url, "shipping", &test).await, "shipping.replies");
    let shipping = shipping.register_sub_saga(&delivery).start().await.unwrap();
    let orders = builder(store(&url, "orders", &test).await, "orders.replies");
    let orders = orders.register(&order).start().await.unwrap();

    let shipped = orders.start(Order { weight: 3, price: 30, why_not: None }).await.unwrap();
    let unpaid = orders.start(Order { weight: 4, price: 300, why_not: None }).await.unwrap();
    let heavy = orders.start(Order { weight: 11, price: 30, why_not: None }).await.unwrap();
    assert!(matches!(end(&shipped).await, SagaOutcome::Completed(_)));
    assert!(matches!(end(&unpaid).await, SagaOutcome::Compensated { .. }));
    let SagaOutcome::Compensated { data, .. } = end(&heavy).await else { panic!("it was not refused") };
    assert!(data.why_not.unwrap().contains("too heavy"));

    for (order, status) in [(&shipped, Status::Completed), (&unpaid, Status::Compensated)] {
        let child = order.id().child(&StepName::new("delivery").unwrap());
        timeout(PATIENCE, stands(&shipping, child, status)).await.expect("the delivery ends like its order");
    }
    assert_eq!(*fence.begin(&[]).await.unwrap().0.data(), 3, "only what was shipped is booked");
}

async fn end(order: &SagaHandle<PgStore, Order>) -> SagaOutcome<Order> {
    timeout(PATIENCE, order.outcome()).await.expect("every order ends").unwrap()
}

async fn stands(shipping: &Orchestrator<PgStore>, saga: saga_core::id::SagaId, wanted: Status) {
    while shipping.show(saga).await.unwrap().unwrap().summary.status != wanted {
        sleep(Duration::from_millis(20)).await;
    }
}

/// A store in a new database.
async fn store(url: &str, service: &str, test: &str) -> PgStore {
    let (server, _) = url.rsplit_once('/').unwrap();
    let url = format!("{server}/test_{service}_{test}");
    Postgres::create_database(&url).await.unwrap();
    let config = Config::new(&url).unwrap();
    saga_postgres::migrate(&config).await.unwrap();
    PgStore::connect(&config).await.unwrap()
}

/// Far longer than anything takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(120);
