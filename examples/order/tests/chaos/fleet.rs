//! The four processes, the proxies around them, and the servers behind those.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use order::audit::Databases;
use order::client::Client;
use order::database;
use saga_postgres::sqlx::{self, PgConnection};
use saga_testkit::{KafkaProxy, TcpProxy};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::Options;
use crate::counters::Counters;
use crate::load;
use crate::operator;
use crate::process::Process;
use crate::servers::Servers;

/// Everything that can be broken.
pub(crate) struct Fleet {
    pub(crate) servers: Servers,
    pub(crate) services: Vec<Service>,
    pub(crate) counters: Counters,
    /// Past the proxies, to see how many sagas are under way. Lost whenever Postgres is killed.
    watching: Mutex<Option<PgConnection>>,
}

/// A process with its ways to the servers.
pub(crate) struct Service {
    pub(crate) name: &'static str,
    pub(crate) client: Client,
    pub(crate) process: Mutex<Process>,
    pub(crate) postgres: TcpProxy,
    pub(crate) broker: BrokerProxy,
}

/// A proxy in front of a broker.
pub(crate) enum BrokerProxy {
    Rabbitmq(TcpProxy),
    Kafka(KafkaProxy),
}

impl BrokerProxy {
    async fn to(servers: &Servers) -> BrokerProxy {
        match servers.broker {
            "kafka" => {
                BrokerProxy::Kafka(KafkaProxy::to(servers.broker_host().parse().unwrap()).await.unwrap())
            }
            _ => BrokerProxy::Rabbitmq(TcpProxy::to(servers.broker_host()).await.unwrap()),
        }
    }

    pub(crate) fn tcp(&self) -> &TcpProxy {
        match self {
            BrokerProxy::Rabbitmq(proxy) => proxy,
            BrokerProxy::Kafka(proxy) => proxy.tcp(),
        }
    }
}

impl Fleet {
    /// Starts all services, and waits until they are healthy and have something to sell.
    pub(crate) async fn start(options: &Options, servers: Servers) -> Fleet {
        let run = options.services_folder();
        std::fs::create_dir_all(&run).unwrap();
        let mut services = Vec::new();
        for (name, program) in PROCESSES {
            services.push(Service::start(name, program, &servers, &run, options.seed).await);
        }
        let fleet = Fleet { servers, services, counters: Counters::default(), watching: Mutex::default() };
        for service in &fleet.services {
            service.until_healthy().await;
        }
        fleet.stock_up().await;
        fleet
    }

    /// The two order services.
    pub(crate) fn orders(&self) -> &[Service] {
        &self.services[..2]
    }

    /// How many sagas are under way, if the database can say.
    pub(crate) async fn in_flight(&self) -> Option<i64> {
        self.count("SELECT count(*) FROM saga.instance WHERE status IN ('running', 'compensating')").await
    }

    /// How many sagas have not ended, and how many messages of the orchestrator are not sent.
    async fn open(&self) -> Option<i64> {
        self.count(
            "SELECT (SELECT count(*) FROM saga.instance WHERE status IN ('running', 'compensating', 'parked'))
                + (SELECT count(*) FROM saga.outbox)",
        )
        .await
    }

    async fn count(&self, question: &'static str) -> Option<i64> {
        let mut watching = self.watching.lock().await;
        if watching.is_none() {
            *watching = database::connect(&self.url("order")).await.ok();
        }
        let answer = sqlx::query_scalar(question).fetch_one(watching.as_mut()?).await;
        if answer.is_err() {
            *watching = None;
        }
        answer.ok()
    }

    /// Past the proxies.
    fn url(&self, service: &str) -> String {
        format!("{}/{service}", self.servers.postgres)
    }

    pub(crate) async fn databases(&self) -> Databases {
        Databases {
            order: database::connect(&self.url("order")).await.unwrap(),
            payment: database::connect(&self.url("payment")).await.unwrap(),
            inventory: database::connect(&self.url("inventory")).await.unwrap(),
        }
    }

    async fn stock_up(&self) {
        let Databases { mut order, mut payment, mut inventory } = self.databases().await;
        for (connection, statement) in
            [(&mut order, load::CATALOGUE), (&mut payment, load::ACCOUNTS), (&mut inventory, load::STOCK)]
        {
            sqlx::raw_sql(statement).execute(connection).await.unwrap();
        }
    }

    /// Does what a machine and a human do in production, for ever: starts what ended by itself, releases what is
    /// parked, and keeps an eye on the counters.
    pub(crate) async fn supervise(self: Arc<Self>) {
        loop {
            for service in &self.services {
                service.restart_if_dead().await;
                self.fetch_counters(service).await;
            }
            operator::release_parked(&self.orders()[0].client).await;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    pub(crate) async fn fetch_counters(&self, service: &Service) {
        let life = service.process.lock().await.lives;
        self.counters.fetch(service.name, life, service.client).await;
    }

    /// Waits until every saga has ended and every message is sent; says what has not.
    pub(crate) async fn settle(&self, patience: Duration) -> Vec<String> {
        let give_up = Instant::now() + patience;
        let mut quiet = 0;
        while Instant::now() < give_up {
            let is_quiet = self.open().await == Some(0) && self.unsent_replies().await == 0;
            quiet = if is_quiet { quiet + 1 } else { 0 };
            if quiet == QUIET_LOOKS {
                return Vec::new();
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        vec![format!("{:?} sagas and messages are left after {patience:?}", self.open().await)]
    }

    async fn unsent_replies(&self) -> i64 {
        let Databases { mut payment, mut inventory, .. } = self.databases().await;
        let mut unsent = 0;
        for connection in [&mut payment, &mut inventory] {
            let question = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM saga.outbox");
            unsent += question.fetch_one(connection).await.unwrap();
        }
        unsent
    }
}

impl Service {
    async fn start(name: &'static str, program: &str, servers: &Servers, run: &Path, seed: u64) -> Service {
        let postgres = TcpProxy::to(servers.postgres_host()).await.unwrap();
        let broker = BrokerProxy::to(servers).await;
        let database = if program.ends_with("order") { "order" } else { name };
        let listen = free_address();
        let environment = vec![
            ("DATABASE_URL", format!("postgres://saga:saga@{}/{database}", postgres.address())),
            ("LISTEN", listen.to_string()),
            ("BROKER", servers.broker.to_owned()),
            ("SAGA_AMQP_URL", format!("amqp://guest:guest@{}/%2f", broker.tcp().address())),
            ("SAGA_KAFKA_BROKERS", broker.tcp().address().to_string()),
            ("NAMESPACE", format!("chaos-{seed}")),
            ("PROCESS_NAME", name.to_owned()),
            ("FAULTS", "true".to_owned()),
            ("STEP_TIMEOUT_MS", "3000".to_owned()),
            ("HANDLER_TIMEOUT_MS", "500".to_owned()),
            ("CALL_DEADLINE_MS", "3000".to_owned()),
        ];
        let mut process = Process::new(name, program.as_ref(), run, environment);
        process.start();
        Service { name, client: Client::of(listen), process: Mutex::new(process), postgres, broker }
    }

    async fn until_healthy(&self) {
        for _ in 0..300 {
            if self.client.get("/health").await.is_ok_and(|answer| answer.status == 200) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        panic!("{} does not become healthy; its log is beside its program", self.name);
    }

    async fn restart_if_dead(&self) {
        let mut process = self.process.lock().await;
        if process.has_died() {
            println!("        {} ended by itself, and is started again", self.name);
            process.start();
        }
    }
}

/// A port below those that Linux hands out to outgoing connections: a client that keeps trying to reach a killed
/// service could be given the service's own port, and connect to itself.
fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(21_000);
    let ports = std::iter::repeat_with(|| NEXT.fetch_add(1, Ordering::Relaxed)).take(10_000);
    let mut listeners = ports.filter_map(|port| TcpListener::bind(("127.0.0.1", port)).ok());
    listeners.next().unwrap().local_addr().unwrap()
}

/// Copies of messages that are still on their way are answered from the record, which puts rows into an outbox again.
const QUIET_LOOKS: usize = 6;

const PROCESSES: [(&str, &str); 4] = [
    ("order-1", env!("CARGO_BIN_EXE_order")),
    ("order-2", env!("CARGO_BIN_EXE_order")),
    ("payment", env!("CARGO_BIN_EXE_payment")),
    ("inventory", env!("CARGO_BIN_EXE_inventory")),
];
