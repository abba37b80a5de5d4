//! What a saga tells reaches every service that subscribes, over PostgreSQL and each of the brokers.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::time::Duration;

use saga_broker::kafka::{Kafka, KafkaConfig};
use saga_broker::rabbitmq::{RabbitMq, RabbitMqConfig};
use saga_core::id::Destination;
use saga_core::message::{Fault, NotificationMessage};
use saga_core::namespace::Namespaced;
use saga_core::port::{IdSource, RandomIds, Transport};
use saga_core::runtime::{Hear, Orchestrator, Subscribing, subscriber};
use saga_core::{Notification, Saga, saga};
use saga_postgres::sqlx::migrate::MigrateDatabase;
use saga_postgres::sqlx::{self, PgPool, Postgres};
use saga_postgres::{Config, PgStore};
use saga_testkit::suite::server;
use serde::{Deserialize, Serialize};
use tokio::time::{sleep, timeout};

#[derive(Debug, Serialize, Deserialize)]
struct PlaceOrder {
    order: i64,
}
impl Saga for PlaceOrder {
    const NAME: &'static str = "place-order";
}

#[derive(Serialize, Deserialize)]
struct OrderPlaced {
    order: i64,
}
impl Notification<PlaceOrder> for OrderPlaced {
    const TYPE: &'static str = "orders.placed.v1";
    const TOPICS: &'static [&'static str] = &["orders"];

    fn of(order: &PlaceOrder) -> Self {
        OrderPlaced { order: order.order }
    }
}

/// A service that counts what was ordered, in a table of its own, and fails now and then when that is done.
struct Counting {
    pool: PgPool,
    service: &'static str,
}

impl Hear<OrderPlaced> for Counting {
    async fn hear(&self, told: OrderPlaced, message: &NotificationMessage) -> Result<(), Fault> {
        let mut tx = self.pool.begin().await?;
        let fresh =
            sqlx::query("INSERT INTO heard (service, message) VALUES ($1, $2) ON CONFLICT DO NOTHING")
                .bind(self.service)
                .bind(message.id().as_uuid())
                .execute(&mut *tx)
                .await?;
        if fresh.rows_affected() == 1 {
            let count = sqlx::query("UPDATE orders SET sum = sum + $2 WHERE service = $1");
            count.bind(self.service).bind(told.order).execute(&mut *tx).await?;
        }
        tx.commit().await?;
        // The worst time for it: what was written stands, and the message comes again.
        match told.order % 5 == 0 && fresh.rows_affected() == 1 {
            true => Err(Fault::temporary("the connection was lost")),
            false => Ok(()),
        }
    }
}

#[tokio::test]
async fn each_service_hears_of_every_order_once_over_rabbitmq() {
    let Some(url) = server("SAGA_AMQP_URL") else { return };
    let connect = || -> Arc<dyn Transport> { Arc::new(RabbitMq::new(RabbitMqConfig::new(&url).unwrap())) };
    each_service_hears_of_every_order_once(connect).await;
}

#[tokio::test]
async fn each_service_hears_of_every_order_once_over_kafka() {
    let Some(brokers) = server("SAGA_KAFKA_BROKERS") else { return };
    let connect = || -> Arc<dyn Transport> { Arc::new(Kafka::new(KafkaConfig::new(&brokers)).unwrap()) };
    each_service_hears_of_every_order_once(connect).await;
}

async fn each_service_hears_of_every_order_once(connect: impl Fn() -> Arc<dyn Transport>) {
    let Some(url) = server("SAGA_POSTGRES_URL") else { return };
    let namespace = Destination::new(RandomIds.uuid().simple().to_string()).unwrap();
    let transport = || Namespaced::around(connect(), namespace.clone());
    let (store, pool) = database(&url, namespace.as_str()).await;
    let subscribe = async |service| -> Subscribing {
        let counting = Counting { pool: pool.clone(), service };
        let subscriber = subscriber(transport(), "orders", service, counting);
        subscriber.hears::<OrderPlaced>(OrderPlaced::TYPE).start().await.unwrap()
    };
    let _mailing = (subscribe("mailing").await, subscribe("mailing").await);
    let statistics = subscribe("statistics").await;

    let placing = saga(1).notify::<OrderPlaced>().build().unwrap();
    let orders = Orchestrator::builder(store, transport(), "orders.replies").register(&placing);
    let orders = orders.start().await.unwrap();
    for order in 1..=20 {
        orders.start(PlaceOrder { order }).await.unwrap();
    }
    until_heard(&pool, &[("mailing", 210), ("statistics", 210)]).await;

    // What is told while a service is down waits for it. These rows are not sent from memory.
    statistics.stop(Duration::from_secs(10)).await;
    for order in 21..=40 {
        let mut tx = pool.begin().await.unwrap();
        let started = orders.start_in(&mut tx, None, PlaceOrder { order }).await.unwrap();
        tx.commit().await.unwrap();
        started.committed();
    }
    until_heard(&pool, &[("mailing", 820), ("statistics", 210)]).await;
    let _statistics = subscribe("statistics").await;
    until_heard(&pool, &[("mailing", 820), ("statistics", 820)]).await;
    assert_eq!(orders.health().await.unwrap().outbox.dead, 0);
}

/// Waits until each service has counted orders with this sum.
async fn until_heard(pool: &PgPool, wanted: &[(&str, i64)]) {
    let read = async || -> Vec<(String, i64)> {
        sqlx::query_as("SELECT service, sum FROM orders ORDER BY service").fetch_all(pool).await.unwrap()
    };
    let wanted: Vec<_> = wanted.iter().map(|(service, sum)| ((*service).to_owned(), *sum)).collect();
    let heard = async {
        while read().await != wanted {
            sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = timeout(PATIENCE, heard).await;
    assert!(waited.is_ok(), "{:?} instead of {wanted:?}", read().await);
}

/// A new database, with the tables of the services.
async fn database(url: &str, test: &str) -> (Arc<PgStore>, PgPool) {
    let (server, _) = url.rsplit_once('/').unwrap();
    let url = format!("{server}/test_orders_{test}");
    Postgres::create_database(&url).await.unwrap();
    let config = Config::new(&url).unwrap();
    saga_postgres::migrate(&config).await.unwrap();
    let pool = PgPool::connect(&url).await.unwrap();
    sqlx::raw_sql(TABLES).execute(&pool).await.unwrap();
    (Arc::new(PgStore::connect(&config).await.unwrap()), pool)
}

const TABLES: &str = "
    CREATE TABLE heard (service text, message uuid, PRIMARY KEY (service, message));
    CREATE TABLE orders (service text PRIMARY KEY, sum bigint);
    INSERT INTO orders VALUES ('mailing', 0), ('statistics', 0);
";

/// Far longer than anything takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(120);
