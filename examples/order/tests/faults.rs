//! Handlers that abort, panic or hang, as real processes over a real broker: what becomes of their orders, while others
//! go on.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "chaos/process.rs"]
mod process;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use order::audit::{Databases, audit};
use order::client::Client;
use order::database::connect;
use process::Process;
use saga_core::port::{IdSource, RandomIds};
use saga_postgres::sqlx::Postgres;
use saga_postgres::sqlx::migrate::MigrateDatabase;
use saga_testkit::suite::server;
use serde_json::{Value, json};

#[tokio::test]
async fn a_handler_that_aborts_its_process_is_parked_while_others_go_on() {
    let Some(mut services) = Services::start(RABBITMQ).await else { return };
    aborts_are_recognised(&mut services).await;
    services.end().await;
}

/// Takes longer, because a process that died keeps its partitions until its session has ended.
#[tokio::test]
#[ignore = "takes a minute or two"]
async fn a_handler_that_aborts_its_process_is_parked_over_kafka_too() {
    let Some(mut services) = Services::start(KAFKA).await else { return };
    aborts_are_recognised(&mut services).await;
    services.end().await;
}

#[tokio::test]
async fn a_handler_that_panics_or_hangs_is_tried_as_the_policy_says_while_others_go_on() {
    let Some(mut services) = Services::start(RABBITMQ).await else { return };
    panics_and_hangs_are_retried(&mut services).await;
    services.end().await;
}

#[tokio::test]
async fn a_handler_that_panics_or_hangs_is_tried_as_the_policy_says_over_kafka_too() {
    let Some(mut services) = Services::start(KAFKA).await else { return };
    panics_and_hangs_are_retried(&mut services).await;
    services.end().await;
}

async fn aborts_are_recognised(services: &mut Services) {
    let aborts = services.place("faulty-aborts").await;
    let others = [services.place("pen").await, services.place("lamp").await, services.place("pen").await];
    let order = services.until(&aborts, "needs attention").await;
    let reason = order["reason"].as_str().unwrap();
    assert!(reason.contains("took the whole process down 5 times"), "{reason}");
    assert_eq!(services.inventory.lives, 7, "it died once uncounted, and five times counted");
    for other in &others {
        services.until(other, "completed").await;
    }
    let compensate = format!("{}/compensate", order["saga"].as_str().unwrap());
    services.client.post(&compensate, "", &json!({ "reason": "it never works" })).await.unwrap();
    services.until(&aborts, "cancelled").await;
}

async fn panics_and_hangs_are_retried(services: &mut Services) {
    let faulty = [services.place("faulty-panics").await, services.place("faulty-hangs").await];
    let other = services.place("pen").await;
    services.until(&other, "completed").await;
    for address in &faulty {
        let order = services.until(address, "cancelled").await;
        assert_eq!(order["reason"], "the outcome of reserve-stock stayed unknown", "{order:#}");
        let timeline = order["timeline"].to_string();
        for attempt in 1..5 {
            let failed = format!("attempt {attempt} to do reserve-stock failed, waiting to try again");
            assert!(timeline.contains(&failed), "{failed}: {order:#}");
        }
        assert!(timeline.contains("do reserve-stock sent again, attempt 5"), "{order:#}");
        assert!(!timeline.contains("attempt 6"), "{order:#}");
    }
    assert_eq!(services.inventory.lives, 1, "neither ends the process");
}

/// A broker: what the services call it, and the variable that says where it is.
type Broker = (&'static str, &'static str);

const RABBITMQ: Broker = ("rabbitmq", "SAGA_AMQP_URL");
const KAFKA: Broker = ("kafka", "SAGA_KAFKA_BROKERS");

/// The three services as processes; the inventory is started again whenever it dies.
struct Services {
    client: Client,
    urls: [String; 3],
    folder: PathBuf,
    inventory: Process,
    others: [Process; 2],
}

impl Services {
    /// Starts them with databases and queues of their own. None if no server is named; then the test is skipped.
    async fn start((broker, variable): Broker) -> Option<Services> {
        let (postgres, address) = (server("SAGA_POSTGRES_URL")?, server(variable)?);
        let test = RandomIds.uuid().simple().to_string();
        let (server, _) = postgres.rsplit_once('/').unwrap();
        let urls = ["order", "payment", "inventory"].map(|service| format!("{server}/test_{service}_{test}"));
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("faults-{test}"));
        std::fs::create_dir_all(&folder).unwrap();
        let process = |name: &'static str, program: &str, url: &str| {
            let environment = vec![
                ("DATABASE_URL", url.to_owned()),
                ("BROKER", broker.to_owned()),
                (variable, address.clone()),
                ("NAMESPACE", test.clone()),
                ("FAULTS", "true".to_owned()),
                ("HANDLER_TIMEOUT_MS", "500".to_owned()),
                // Longer than it takes to die so often, or the order would be cancelled first.
                ("STEP_TIMEOUT_MS", "300000".to_owned()),
            ];
            let mut process = Process::new(name, program.as_ref(), &folder, environment);
            process.start();
            process
        };
        let inventory = process("inventory", env!("CARGO_BIN_EXE_inventory"), &urls[2]);
        let order = process("order", env!("CARGO_BIN_EXE_order"), &urls[0]);
        let payment = process("payment", env!("CARGO_BIN_EXE_payment"), &urls[1]);
        let client = Client::of(address_of(&folder.join("order.log")).await);
        Some(Services { client, inventory, others: [order, payment], urls, folder })
    }

    /// Places an order, and returns its address.
    async fn place(&self, item: &str) -> String {
        let order = json!({ "customer": "ada", "amount": 100, "items": [{ "name": item, "quantity": 1 }] });
        let answer = self.client.post("/orders", "", &order).await.unwrap();
        assert_eq!(answer.status, 202, "{}; logs are in {}", answer.body, self.folder.display());
        answer.json()["address"].as_str().unwrap().to_owned()
    }

    async fn until(&mut self, address: &str, state: &str) -> Value {
        for _ in 0..LOOKS_MAX {
            if self.inventory.has_died() {
                self.inventory.start();
            }
            let answer = self.client.get(address).await;
            if let Ok(order) = answer.map(|answer| answer.json())
                && order["state"] == state
            {
                return order;
            }
            tokio::time::sleep(LOOK).await;
        }
        let answer = self.client.get(address).await;
        panic!("not {state:?}; logs are in {}: {answer:?}", self.folder.display());
    }

    /// Audits what is left once nothing moves any more, and ends the processes.
    async fn end(mut self) {
        let [order, payment, inventory] = &self.urls;
        let mut databases = Databases {
            order: connect(order).await.unwrap(),
            payment: connect(payment).await.unwrap(),
            inventory: connect(inventory).await.unwrap(),
        };
        for looks in 1.. {
            let findings = audit(&mut databases).await.unwrap();
            if findings.is_empty() {
                break;
            }
            assert!(looks < LOOKS_MAX, "{findings:#?}; logs are in {}", self.folder.display());
            tokio::time::sleep(LOOK).await;
        }
        self.inventory.kill().await;
        for process in &mut self.others {
            process.kill().await;
        }
        for url in &self.urls {
            Postgres::force_drop_database(url).await.unwrap();
        }
        std::fs::remove_dir_all(&self.folder).unwrap();
    }
}

/// Where a service listens, once it does: its log says so.
async fn address_of(log: &Path) -> SocketAddr {
    for _ in 0..LOOKS_MAX {
        let lines = std::fs::read_to_string(log).unwrap();
        if let Some((_, address)) = lines.split_once("listening address=") {
            return address.lines().next().unwrap().parse().unwrap();
        }
        tokio::time::sleep(LOOK).await;
    }
    panic!("it does not listen; its log is {}", log.display());
}

const LOOK: Duration = Duration::from_millis(50);

/// Looks of three minutes, far more than anything here takes.
const LOOKS_MAX: usize = 3600;
