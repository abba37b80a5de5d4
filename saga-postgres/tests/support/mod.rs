//! A schema for each test on the server that `SAGA_POSTGRES_URL` names, and commits to store in it.
//!
//! `SAGA_POSTGRES_POOLER`, an address such as `127.0.0.1:6432`, has the tests reach that server through a pooler.
#![allow(dead_code, unused_imports, reason = "each test binary uses its own part of it")]

mod counters;

use std::task::Poll;
use std::time::Duration;

pub(crate) use counters::Counters;

use bytes::Bytes;
use saga_core::definition::{DefinitionRef, Fingerprint};
use saga_core::fence::{FenceKey, FenceState};
use saga_core::id::{
    BusinessKey, Destination, Direction, MessageId, ParticipantName, SagaId, SagaName, StepName, Version,
};
use saga_core::message::{Envelope, Headers, Payload};
use saga_core::policy::Timestamp;
use saga_core::port::{
    Change, Commit, Committed, FenceWrite, IdSource, JournalEntry, OutboxRow, RandomIds, Start, Status,
    Store, TimerChange,
};
use saga_postgres::sqlx::{self, AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use saga_postgres::{Config, PgFence, PgStore, Schema, migrate};
use tokio::sync::Mutex;
use uuid::Uuid;

pub(crate) const LEASE: Duration = Duration::from_secs(30);

/// A schema of this test's own, dropped with it.
pub(crate) struct Database {
    pub(crate) url: String,
    pub(crate) schema: String,
    observer: Mutex<Option<PgConnection>>,
}

/// A migrated schema, or nothing if no server is named; then the test is skipped, and says so.
pub(crate) async fn database() -> Option<Database> {
    let url = saga_testkit::suite::server("SAGA_POSTGRES_URL")?;
    let schema = format!("test_{}", RandomIds.uuid().simple());
    let database = Database { url, schema, observer: Mutex::default() };
    migrate(&database.config_at(&database.url)).await.unwrap();
    Some(database)
}

impl Database {
    /// How clients reach the database.
    pub(crate) fn config(&self) -> Config {
        match self.pooler() {
            None => self.config_at(&self.url),
            Some(pooler) => self.config_at(&self.url.replace(self.address(), &pooler)).through_pooler(),
        }
    }

    pub(crate) fn pooler(&self) -> Option<String> {
        std::env::var("SAGA_POSTGRES_POOLER").ok()
    }

    pub(crate) fn config_at(&self, url: &str) -> Config {
        let schema = Schema::new(&self.schema).unwrap();
        let separator = if url.contains('?') { '&' } else { '?' };
        let named = format!("{url}{separator}application_name={}", self.schema);
        Config::new(&named).unwrap().schema(schema).writer("test")
    }

    /// The server's host and port.
    pub(crate) fn address(&self) -> &str {
        let authority = self.url.split('/').nth(2).unwrap();
        authority.rsplit('@').next().unwrap()
    }

    pub(crate) async fn client(&self) -> PgStore {
        PgStore::connect(&self.config()).await.unwrap()
    }

    /// A store that knows [`definition`].
    pub(crate) async fn store(&self) -> PgStore {
        let store = self.client().await;
        store.register(&[definition()]).await.unwrap();
        store
    }

    pub(crate) async fn fence(&self) -> PgFence {
        PgFence::connect(&self.config()).await.unwrap()
    }

    /// A connection beside the store's, whose `search_path` is the schema.
    pub(crate) async fn connection(&self) -> PgConnection {
        let options: sqlx::postgres::PgConnectOptions = self.url.parse().unwrap();
        options.options([("search_path", &self.schema)]).connect().await.unwrap()
    }

    /// The count that `query` gives, which names tables without their schema.
    pub(crate) async fn count(&self, query: &'static str) -> i64 {
        let mut observer = self.observer.lock().await;
        if observer.is_none() {
            *observer = Some(self.connection().await);
        }
        sqlx::query_scalar(query).fetch_one(observer.as_mut().unwrap()).await.unwrap()
    }

    /// Waits until a session of a store or fence waits for a lock.
    pub(crate) async fn someone_waits(&self) {
        let waiting = "SELECT count(*) FROM pg_stat_activity
            WHERE application_name = current_schema() AND wait_event_type = 'Lock'";
        let waits = async { while self.count(waiting).await == 0 {} };
        tokio::time::timeout(Duration::from_secs(20), waits).await.expect("a session that waits for a lock");
    }

    /// Runs statements that name tables without their schema.
    pub(crate) async fn run(&self, statements: impl Into<String>) {
        let mut connection = self.connection().await;
        let statements = sqlx::raw_sql(AssertSqlSafe(statements.into()));
        statements.execute(&mut connection).await.unwrap();
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (url, schema) = (self.url.clone(), self.schema.clone());
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut connection = PgConnection::connect(&url).await.unwrap();
                // Transactions that the test has dropped cannot be rolled back while it waits here.
                let text = format!(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{schema}';
                     DROP SCHEMA IF EXISTS \"{schema}\" CASCADE"
                );
                sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut connection).await.unwrap();
            });
        });
        let _ = dropped.join();
    }
}

pub(crate) fn definition() -> DefinitionRef {
    definition_of("place-order", 1, 1)
}

pub(crate) fn definition_of(name: &str, version: u32, fingerprint: u128) -> DefinitionRef {
    DefinitionRef {
        name: SagaName::new(name).unwrap(),
        version,
        fingerprint: Fingerprint::from_uuid(Uuid::from_u128(fingerprint)),
    }
}

pub(crate) fn saga() -> SagaId {
    RandomIds.saga()
}

pub(crate) fn step(name: &str) -> StepName {
    StepName::new(name).unwrap()
}

/// The start of a saga: one journal entry, one claimed outbox row, one timer.
pub(crate) fn start(id: SagaId) -> Commit {
    let start = Start { definition: definition(), key: None, input: Uuid::from_u128(1), parent: None };
    commit(id, Change::Start(start), 1)
}

pub(crate) fn start_with_key(id: SagaId, key: &str, input: u128) -> Commit {
    let start = Start {
        definition: definition(),
        key: Some(BusinessKey::new(key).unwrap()),
        input: Uuid::from_u128(input),
        parent: None,
    };
    commit(id, Change::Start(start), 1)
}

/// A move from the version `expected`: one journal entry, one claimed outbox row, one timer.
pub(crate) fn advance(id: SagaId, expected: Version) -> Commit {
    commit(id, Change::Move { expected }, expected + 1)
}

fn commit(id: SagaId, change: Change, version: Version) -> Commit {
    Commit {
        id,
        change,
        status: Status::Running,
        state: Bytes::from(format!("state {version}")),
        data: Bytes::from(format!("data {version}")),
        parked: None,
        journal: vec![JournalEntry {
            version,
            event: Bytes::from(format!("event {version}")),
            now: Timestamp::from_micros(1_700_000_000_123_456),
            decision: format!("decision {version}"),
        }],
        outbox: vec![outbox_row(id, true)],
        timers: vec![TimerChange::Arm {
            step: step("reserve"),
            direction: Direction::Do,
            attempt: 1,
            after: Duration::from_secs(60),
        }],
    }
}

pub(crate) fn outbox_row(saga: SagaId, claimed: bool) -> OutboxRow {
    OutboxRow { id: RandomIds.row(), envelope: envelope(saga), claimed }
}

pub(crate) fn envelope(saga: SagaId) -> Envelope {
    let mut headers = Headers::default();
    headers.insert("saga-kind", "command");
    headers.insert("note", "naïve \u{0} \"quoted\"");
    Envelope {
        id: MessageId::command(saga, &step("reserve"), Direction::Do),
        destination: Destination::new("stock").unwrap(),
        key: saga,
        headers,
        body: Bytes::from_static(b"{\"item\":\"x\\u0000y\"}"),
    }
}

pub(crate) async fn store_all(store: &PgStore, batch: &[Commit]) {
    for outcome in store.commit(batch, LEASE).await {
        assert!(matches!(outcome, Ok(Committed::Stored)), "{outcome:?}");
    }
}

/// What the handlers of these tests write.
pub(crate) const EFFECTS: &str = "CREATE TABLE effect (saga uuid NOT NULL, step text NOT NULL)";

pub(crate) fn key(saga: SagaId, name: &str) -> FenceKey {
    FenceKey { participant: ParticipantName::new("stock").unwrap(), saga, step: step(name) }
}

pub(crate) fn applied(reply: u32) -> FenceState {
    FenceState::Applied(Payload::encode(&reply).unwrap())
}

/// The outcome of a command, with a reply that nobody has claimed.
pub(crate) fn outcome(key: &FenceKey, state: Option<FenceState>) -> FenceWrite {
    FenceWrite { key: key.clone(), state, reply: Some(outbox_row(key.saga, false)) }
}

/// Futures that are dropped half-way.
pub(crate) trait Polled: Future + Sized {
    /// Polls the future at most `polls` times, and then drops it.
    async fn polled(self, polls: u64) -> Option<Self::Output> {
        let mut future = std::pin::pin!(self);
        let mut left = polls;
        std::future::poll_fn(|context| {
            if left == 0 {
                return Poll::Ready(None);
            }
            left -= 1;
            future.as_mut().poll(context).map(Some)
        })
        .await
    }
}

impl<F: Future> Polled for F {}
