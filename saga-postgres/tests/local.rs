//! Local steps on a real server: a row of the orchestrator's own database, written with its saga's move.

#![cfg(test)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use saga_core::memory::MemoryTransport;
use saga_core::message::Fault;
use saga_core::runtime::{
    Handle, Handled, Orchestrator, OrchestratorBuilder, Reply, SagaOutcome, Undo, service,
};
use saga_core::{Command, Compensate, Definition, Local, Outcome, Saga, Step, Undoes, saga};
use saga_postgres::sqlx::{self, AssertSqlSafe, Connection};
use saga_postgres::{PgStore, Tx};
use serde::{Deserialize, Serialize};
use support::Database;
use tokio::time::timeout;

#[tokio::test]
async fn each_note_is_written_once_by_whoever_moves_the_saga() {
    let Some(database) = database().await else { return };
    let orchestrators = [orchestrator(&database).await, orchestrator(&database).await];
    let mut sagas = Vec::new();
    for number in 0..40 {
        sagas.push(orchestrators[number % 2].start(Order { number: number as i64 }).await.unwrap());
    }
    for saga in sagas {
        let outcome = timeout(PATIENCE, saga.outcome()).await.expect("it ends").unwrap();
        // Every tenth is refused at its second step, and then there is no note of it.
        assert!(!matches!(outcome, SagaOutcome::Parked { .. }), "{outcome:?}");
    }
    assert_eq!(database.count("SELECT count(*) FROM note").await, 36);
    assert_eq!(database.count("SELECT count(*) FROM note WHERE number % 10 = 0").await, 0);
}

#[tokio::test]
async fn sagas_share_transactions_and_one_that_breaks_its_own_harms_no_other() {
    let Some(database) = database().await else { return };
    let orchestrator = builder(&database).await.local_steps_per_transaction(32).start().await.unwrap();
    let start = |number| orchestrator.start(Order { number });
    let (sagas, broken) = tokio::join!(join_all((1..=200).map(start)), start(BREAKS));
    for saga in sagas {
        let outcome = timeout(PATIENCE, saga.unwrap().outcome()).await.expect("it ends").unwrap();
        assert!(!matches!(outcome, SagaOutcome::Parked { .. }), "{outcome:?}");
    }
    assert!(broken.is_ok(), "it is started, and never gets further");
    assert_eq!(database.count("SELECT count(*) FROM note").await, 180);
    assert_eq!(database.count("SELECT count(*) FROM stamp").await, 180);
    let transactions =
        "SELECT count(DISTINCT tx) FROM (SELECT tx FROM note UNION ALL SELECT tx FROM stamp) AS done";
    let transactions = database.count(transactions).await;
    assert!(transactions < 200, "{transactions} transactions for 360 steps that were done");
}

#[tokio::test]
async fn one_that_is_started_in_a_transaction_begins_once_that_has_committed() {
    let Some(database) = database().await else { return };
    let orchestrator = orchestrator(&database).await;
    let mut connection = database.connection().await;
    let mut tx = connection.begin().await.unwrap();
    let started = orchestrator.start_in(&mut tx, None, Order { number: 1 }).await.unwrap();
    assert_eq!(database.count("SELECT count(*) FROM note").await, 0);
    tx.commit().await.unwrap();
    timeout(PATIENCE, started.committed().outcome()).await.expect("it ends").unwrap();
    assert_eq!(database.count("SELECT count(*) FROM note").await, 1);
}

#[tokio::test]
async fn a_handler_that_ends_its_transaction_or_breaks_it_does_not_move_its_saga() {
    for number in [ENDS, BREAKS] {
        let Some(database) = database().await else { return };
        let orchestrator = orchestrator(&database).await;
        let saga = orchestrator.start(Order { number }).await.unwrap();
        let faulted = "SELECT count(*) FROM journal WHERE decision LIKE 'attempt 1 to do note failed%'";
        let journalled = async {
            while database.count(faulted).await == 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, journalled).await.expect("the fault is journalled");
        orchestrator.cancel(saga.id(), "enough").await.unwrap();
        let outcome = timeout(PATIENCE, saga.outcome()).await.expect("it ends").unwrap();
        assert!(matches!(outcome, SagaOutcome::Compensated { .. }), "{number}: {outcome:?}");
        assert_eq!(database.count("SELECT count(*) FROM stamp").await, 0, "{number}");
    }
}

macro_rules! commands {
    ($($name:ident $type:literal)+) => {
        $(
            #[derive(Serialize, Deserialize)]
            struct $name { number: i64 }
            impl Command for $name {
                const TYPE: &'static str = $type;
                type Participant = Local;
                type Reply = ();
                type Refusal = ();
            }
        )+
    };
}
commands!(Note "note" Erase "erase" Stamp "stamp");
impl Undoes<Note> for Erase {}

#[derive(Debug, Serialize, Deserialize)]
struct Order {
    number: i64,
}
impl Saga for Order {
    const NAME: &'static str = "order";
}

impl Step<Order> for Note {
    fn command(order: &Order) -> Self {
        Note { number: order.number }
    }
}
impl Compensate<Order> for Note {
    type Undo = Erase;

    fn undo(order: &Order, _: Outcome<()>) -> Erase {
        Erase { number: order.number }
    }
}
impl Step<Order> for Stamp {
    fn command(order: &Order) -> Self {
        Stamp { number: order.number }
    }
}

fn definition() -> Definition<Order> {
    saga(1).step::<Note>().pivot::<Stamp>().build().unwrap()
}

/// The handlers, and the schema of their tables.
struct Notes(String);

impl Notes {
    async fn insert(&self, tx: &mut Tx, table: &str, number: i64) -> Result<(), sqlx::Error> {
        let text = format!("INSERT INTO {}.{table} VALUES ($1)", self.0);
        sqlx::query(AssertSqlSafe(text)).bind(number).execute(&mut **tx).await.map(drop)
    }
}

impl Handle<Note, Tx> for Notes {
    async fn handle(&self, command: Note, tx: &mut Tx) -> Handled<Note> {
        self.insert(tx, "note", command.number).await?;
        match command.number {
            ENDS => drop(sqlx::raw_sql("COMMIT").execute(&mut **tx).await),
            // Its error is not looked at, so the handler says that all is well.
            BREAKS => drop(sqlx::raw_sql("SELECT 1 / 0").execute(&mut **tx).await),
            _ => {}
        }
        Ok(Reply::Done(()))
    }
}

impl Undo<Note, Erase, Tx> for Notes {
    async fn undo(&self, command: Erase, (): (), tx: &mut Tx) -> Result<(), Fault> {
        let text = format!("DELETE FROM {}.note WHERE number = $1", self.0);
        sqlx::query(AssertSqlSafe(text)).bind(command.number).execute(&mut **tx).await?;
        Ok(())
    }
}

impl Handle<Stamp, Tx> for Notes {
    async fn handle(&self, command: Stamp, tx: &mut Tx) -> Handled<Stamp> {
        self.insert(tx, "stamp", command.number).await?;
        Ok(if command.number % 10 == 0 { Reply::Refused(()) } else { Reply::Done(()) })
    }
}

async fn database() -> Option<Database> {
    let database = support::database().await?;
    database
        .run(
            "CREATE TABLE note (number bigint PRIMARY KEY, tx xid8 DEFAULT pg_current_xact_id());
             CREATE TABLE stamp (LIKE note INCLUDING ALL)",
        )
        .await;
    Some(database)
}

async fn orchestrator(database: &Database) -> Orchestrator<PgStore> {
    builder(database).await.start().await.unwrap()
}

async fn builder(database: &Database) -> OrchestratorBuilder<PgStore> {
    let store = Arc::new(database.client().await);
    let notes =
        service(Notes(database.schema.clone())).handle::<Note>().undo::<Note, Erase>().handle::<Stamp>();
    let builder = Orchestrator::builder(store, Arc::new(MemoryTransport::default()), "replies");
    builder.register(&definition()).local(notes)
}

const ENDS: i64 = -1;
const BREAKS: i64 = -2;

/// Far longer than anything takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);
