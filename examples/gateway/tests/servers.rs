//! The same over PostgreSQL and RabbitMQ: nothing is charged twice, and no charge is left standing for an order that was
//! not shipped.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::time::Duration;

use gateway::server::Gateway;
use gateway::shop::{Balance, Shop};
use saga_broker::rabbitmq::{RabbitMq, RabbitMqConfig};
use saga_core::id::Destination;
use saga_core::namespace::Namespaced;
use saga_core::port::{IdSource, RandomIds};
use saga_postgres::sqlx::Postgres;
use saga_postgres::sqlx::migrate::MigrateDatabase;
use saga_postgres::{Config, PgFence, PgStore};
use saga_testkit::suite::server;
use tokio::time::{sleep, timeout};

#[tokio::test]
async fn every_order_that_was_shipped_is_charged_once_and_no_other_is() {
    let (Some(url), Some(amqp)) = (server("SAGA_POSTGRES_URL"), server("SAGA_AMQP_URL")) else { return };
    let test = RandomIds.uuid().simple().to_string();
    let [store, payment, warehouse] = ["store", "payment", "warehouse"];
    let store = PgStore::connect(&database(&url, store, &test).await).await.unwrap();
    let payment = PgFence::connect(&database(&url, payment, &test).await).await.unwrap();
    let warehouse = PgFence::connect(&database(&url, warehouse, &test).await).await.unwrap();
    let broker = Arc::new(RabbitMq::new(RabbitMqConfig::new(&amqp).unwrap()));
    let transport = Namespaced::around(broker, Destination::new(&test).unwrap());

    let gateway = Gateway::start().await.unwrap();
    let fences = [Arc::new(payment), Arc::new(warehouse)];
    let shop = Shop::start(Arc::new(store), fences, transport, gateway.address).await.unwrap();
    let shipped = timeout(PATIENCE, shop.place(ORDERS)).await.expect("every order ends").unwrap();
    assert_eq!(shipped, (1..=ORDERS).filter(|order| order % 3 != 0 && order % 7 != 0).count());

    // What is still on its way to the gateway arrives, and finds its key voided.
    sleep(LATER).await;
    let balance = Balance::of(&gateway);
    assert_eq!(balance.standing, shipped, "{balance:?}");
    assert!(balance.asked_again > 0 && balance.voided > 0, "{balance:?}");
}

/// A new database with the framework's tables.
async fn database(url: &str, service: &str, test: &str) -> Config {
    let (server, _) = url.rsplit_once('/').unwrap();
    let url = format!("{server}/test_gateway_{service}_{test}");
    Postgres::create_database(&url).await.unwrap();
    let config = Config::new(&url).unwrap();
    saga_postgres::migrate(&config).await.unwrap();
    config
}

const ORDERS: u64 = 40;

/// Longer than the gateway is late.
const LATER: Duration = Duration::from_secs(5);

/// Far longer than anything takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(120);
