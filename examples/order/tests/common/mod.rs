//! The three services in one process: real databases, the broker in memory.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    reason = "shared by several test binaries, each using a part"
)]

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use metrics_exporter_prometheus::PrometheusBuilder;
use order::audit::Databases;
use order::config::{BrokerKind, Common};
use order::faults::Faults;
use order::http::{self, ops};
use order::orders::Orders;
use order::saga::PlaceOrder;
use order::{database, inventory, orders, payment, saga};
use saga_core::Participant;
use saga_core::memory::MemoryTransport;
use saga_core::port::{IdSource, RandomIds};
use saga_core::runtime::{Orchestrator, Participating, SagaLimits, Service, participant};
use saga_postgres::sqlx::migrate::MigrateDatabase;
use saga_postgres::sqlx::{self, Postgres};
use saga_postgres::{PgFence, PgStore, Tx};
use serde_json::{Value, json};
use tower::ServiceExt;

/// The services of one test.
pub struct World {
    pub transport: MemoryTransport,
    pub orchestrator: Orchestrator<PgStore>,
    router: Router,
    urls: [String; 3],
    inventory: Participating<PgFence>,
    payment: Option<Participating<PgFence>>,
}

/// Three databases for a test, or nothing if no server is named; then the test is skipped, and says so.
fn urls() -> Option<[String; 3]> {
    let Ok(url) = std::env::var("SAGA_POSTGRES_URL") else {
        assert!(std::env::var("SAGA_REQUIRE_SERVERS").as_deref() != Ok("1"), "SAGA_POSTGRES_URL is not set");
        eprintln!("skipped: set SAGA_POSTGRES_URL");
        return None;
    };
    let (server, _) = url.rsplit_once('/').unwrap();
    let test = RandomIds.uuid().simple();
    Some(["order", "payment", "inventory"].map(|service| format!("{server}/test_{service}_{test}")))
}

fn common(url: &str) -> Common {
    Common {
        database_url: url.into(),
        listen: ([127, 0, 0, 1], 0).into(),
        broker: BrokerKind::Rabbitmq,
        amqp_url: String::new(),
        kafka_brokers: String::new(),
        namespace: None,
        process_name: "test".into(),
        log: tracing::Level::WARN,
        call_deadline_ms: 10_000,
    }
}

impl World {
    /// Starts all services, with handlers that can be made to fail.
    pub async fn start() -> Option<World> {
        let mut world = World::without_payment().await?;
        world.start_payment().await;
        Some(world)
    }

    pub async fn without_payment() -> Option<World> {
        World::with_limits(SagaLimits::default()).await
    }

    pub async fn with_limits(limits: SagaLimits) -> Option<World> {
        saga::set_step_timeout(STEP_TIMEOUT);
        let urls = urls()?;
        let transport = MemoryTransport::default();
        let handlers = inventory::handlers(Faults { on: true });
        let inventory = start(&urls[2], &transport, handlers, inventory::TABLES).await;
        let config = database::prepare(&common(&urls[0]), orders::TABLES).await.unwrap();
        let store = Arc::new(PgStore::connect(&config).await.unwrap());
        let orchestrator = Orchestrator::builder(store, Arc::new(transport.connect()), "order.replies")
            .register(&saga::place_order().unwrap())
            .limit::<PlaceOrder>(limits)
            .start()
            .await
            .unwrap();
        let router = router(&urls[0], orchestrator.clone());
        Some(World { transport, orchestrator, router, urls, inventory, payment: None })
    }

    pub async fn start_payment(&mut self) {
        let payment = start(&self.urls[1], &self.transport, payment::handlers(), payment::TABLES).await;
        self.payment = Some(payment);
    }

    pub fn order_url(&self) -> &str {
        &self.urls[0]
    }

    pub async fn databases(&self) -> Databases {
        let [order, payment, inventory] = &self.urls;
        Databases {
            order: database::connect(order).await.unwrap(),
            payment: database::connect(payment).await.unwrap(),
            inventory: database::connect(inventory).await.unwrap(),
        }
    }

    pub async fn call(&self, request: Request<Body>) -> (StatusCode, Value) {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    pub async fn get(&self, address: &str) -> (StatusCode, Value) {
        self.call(Request::get(address).body(Body::empty()).unwrap()).await
    }

    pub async fn post(&self, address: &str, body: &Value) -> (StatusCode, Value) {
        let request = Request::post(address).header("content-type", "application/json");
        self.call(request.body(Body::from(body.to_string())).unwrap()).await
    }

    /// Places an order for one kind of goods, and returns its address.
    pub async fn place(&self, customer: &str, amount: i64, item: &str, quantity: i64) -> String {
        let order = json!({ "customer": customer, "amount": amount, "items": [{ "name": item, "quantity": quantity }] });
        let (status, placed) = self.post("/orders", &order).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{placed}");
        placed["address"].as_str().unwrap().to_owned()
    }

    /// Waits until an order is in a state, and returns how it then stands.
    pub async fn until(&self, address: &str, state: &str) -> Value {
        self.until_it(address, state, |order| order["state"] == state).await
    }

    /// Waits until an order's timeline tells something, and returns how the order then stands.
    pub async fn until_told(&self, address: &str, event: &str) -> Value {
        self.until_it(address, event, |order| order["timeline"].to_string().contains(event)).await
    }

    pub async fn until_it(&self, address: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let looking = async {
            loop {
                let (_, order) = self.get(address).await;
                if holds(&order) {
                    return order;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        match tokio::time::timeout(PATIENCE, looking).await {
            Ok(order) => order,
            Err(_) => panic!("not {what:?}: {:#}", self.get(address).await.1),
        }
    }

    /// Waits until nothing is to be sent or done any more.
    pub async fn until_quiet(&self) {
        let looking = async {
            loop {
                let health = self.orchestrator.health().await.unwrap();
                let mut unsent = health.outbox.unsent + self.inventory.health().await.unwrap().unsent;
                if let Some(payment) = &self.payment {
                    unsent += payment.health().await.unwrap().unsent;
                }
                if unsent + health.unfinished == 0 {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, looking).await.expect("everything ends");
    }
}

impl Drop for World {
    /// On a thread with a runtime of its own, because the test's own cannot be waited on here.
    fn drop(&mut self) {
        let urls = self.urls.clone();
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                for url in urls {
                    Postgres::force_drop_database(&url).await.unwrap();
                }
            });
        });
        let _ = dropping.join();
    }
}

async fn start<P: Participant, H: Send + Sync + 'static>(
    url: &str,
    transport: &MemoryTransport,
    handlers: Service<P, H, Tx>,
    tables: &'static str,
) -> Participating<PgFence> {
    let config = database::prepare(&common(url), tables).await.unwrap();
    let fence = Arc::new(PgFence::connect(&config).await.unwrap());
    participant(handlers, fence, Arc::new(transport.connect()))
        .handler_timeout(HANDLER_TIMEOUT)
        .start()
        .await
        .unwrap()
}

fn router(url: &str, orchestrator: Orchestrator<PgStore>) -> Router {
    let metrics = PrometheusBuilder::new().build_recorder().handle();
    let health = orchestrator.clone();
    let ops = ops::router(metrics, move || ops::orchestrator(health.clone()));
    http::router(Orders::new(orders::pool(url).unwrap(), orchestrator), ops)
}

/// Runs a statement, for tests that doctor a database.
pub async fn run(connection: &mut sqlx::PgConnection, statement: &'static str) -> u64 {
    sqlx::raw_sql(statement).execute(connection).await.unwrap().rows_affected()
}

/// Five attempts of this are far longer than any order takes that is not to be cancelled, on a busy machine too.
const STEP_TIMEOUT: Duration = Duration::from_secs(3);

/// Short, because handlers that hang are waited for five times; long enough for one that waits for a crowd.
const HANDLER_TIMEOUT: Duration = Duration::from_secs(1);

/// Far longer than any saga here takes.
const PATIENCE: Duration = Duration::from_secs(120);
