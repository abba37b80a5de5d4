//! Bad sagas among many good ones, with the real runtimes on Postgres: each parks alone, and the others complete.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use saga_core::id::{Destination, Direction, MessageId, StepName};
use saga_core::memory::MemoryTransport;
use saga_core::message::{Answer, Payload, ReplyMessage, TraceParent};
use saga_core::port::{SagaFilter, Status, SubscribeOptions, Transport};
use saga_core::runtime::{
    Handle, Handled, Orchestrator, Participating, Reply, SagaOutcome, participant, service,
};
use saga_core::{Command, NothingToUndo, Participant, Saga, Step, saga};
use saga_postgres::sqlx::{self, AssertSqlSafe};
use saga_postgres::{PgFence, PgStore, Tx};
use serde::{Deserialize, Serialize};

struct Desk;
impl Participant for Desk {
    const NAME: &'static str = "desk";
}

#[derive(Serialize, Deserialize)]
struct Look(String);
impl Command for Look {
    const TYPE: &'static str = "desk.look.v1";
    type Participant = Desk;
    type Reply = String;
    type Refusal = String;
}

#[derive(Serialize, Deserialize)]
struct Stamp(String);
impl Command for Stamp {
    const TYPE: &'static str = "desk.stamp.v1";
    type Participant = Desk;
    type Reply = ();
    type Refusal = String;
}

#[derive(Debug, Serialize, Deserialize)]
struct Form {
    text: String,
    seen: String,
}
impl Saga for Form {
    const NAME: &'static str = "form";
}
impl Step<Form> for Look {
    fn command(form: &Form) -> Self {
        Look(form.text.clone())
    }

    fn on_reply(form: &mut Form, seen: String) {
        form.seen = seen;
    }
}
impl NothingToUndo<Form> for Look {}
impl Step<Form> for Stamp {
    fn command(form: &Form) -> Self {
        assert_ne!(form.text, PANICS, "this form cannot be stamped");
        Stamp(form.seen.clone())
    }
}

struct Clerk;
impl Handle<Look, Tx> for Clerk {
    async fn handle(&self, command: Look, _: &mut Tx) -> Handled<Look> {
        Ok(Reply::Done(command.0))
    }
}
impl Handle<Stamp, Tx> for Clerk {
    async fn handle(&self, command: Stamp, _: &mut Tx) -> Handled<Stamp> {
        match command.0.as_str() {
            UNSTORABLE => Ok(Reply::Refused("the database will not have this".into())),
            _ => Ok(Reply::Done(())),
        }
    }
}

/// The saga whose second command panics.
const PANICS: &str = "panics";

/// The saga whose end breaks a constraint that this test adds to the journal.
const UNSTORABLE: &str = "unstorable";

async fn running(database: &support::Database) -> (Orchestrator<PgStore>, Participating<PgFence>) {
    let transport: Arc<dyn Transport> = Arc::new(MemoryTransport::default());
    let clerk = service::<Desk, _, Tx>(Clerk).handle::<Look>().handle::<Stamp>();
    let fence = Arc::new(database.fence().await);
    let desk =
        participant(clerk, fence, transport.clone()).commands_per_transaction(32).start().await.unwrap();
    let form = saga::<Form>(1).check::<Look>().pivot::<Stamp>().build().unwrap();
    let store = Arc::new(database.client().await);
    let orchestrator =
        Orchestrator::builder(store, transport, "replies").register(&form).start().await.unwrap();
    (orchestrator, desk)
}

#[tokio::test(flavor = "multi_thread")]
async fn of_five_hundred_sagas_at_once_each_bad_one_parks_alone() {
    let Some(database) = support::database().await else { return };
    let schema = &database.schema;
    let mut connection = database.connection().await;
    let unloved = format!(
        "ALTER TABLE {schema}.journal ADD CONSTRAINT unloved CHECK (decision !~ 'will not have this')"
    );
    sqlx::query(AssertSqlSafe(unloved)).execute(&mut connection).await.unwrap();
    let (orchestrator, _desk) = running(&database).await;

    let text = |number: usize| match number {
        100 => PANICS.to_owned(),
        200 => UNSTORABLE.to_owned(),
        300 => "nul \u{0} inside".to_owned(),
        _ => format!("form {number}"),
    };
    let forms = (0..500).map(|number| Form { text: text(number), seen: String::new() });
    let starts = forms.map(|form| {
        tokio::spawn({
            let orchestrator = orchestrator.clone();
            async move { orchestrator.start(form).await.unwrap().outcome().await.unwrap() }
        })
    });
    let mut parked = Vec::new();
    for (number, start) in starts.collect::<Vec<_>>().into_iter().enumerate() {
        match tokio::time::timeout(Duration::from_secs(60), start).await.unwrap().unwrap() {
            SagaOutcome::Completed(form) => assert_eq!(form.seen, text(number), "data comes back as it was"),
            SagaOutcome::Parked { reason } => parked.push((number, reason)),
            SagaOutcome::Compensated { cause, .. } => panic!("form {number} is compensated: {cause}"),
        }
    }

    assert_eq!(parked.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [100, 200], "{parked:?}");
    assert!(parked[0].1.contains("panicked") && parked[0].1.contains("cannot be stamped"), "{parked:?}");
    assert!(parked[1].1.contains("unloved"), "the reason names the constraint: {parked:?}");
    let listed = SagaFilter { status: Some(Status::Parked), ..SagaFilter::default() };
    assert_eq!(orchestrator.list(&listed, 10).await.unwrap().len(), 2, "an operator finds both");
    assert_eq!(orchestrator.health().await.unwrap().parked, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_whose_stored_state_is_damaged_parks_with_its_bytes_kept() {
    let Some(database) = support::database().await else { return };
    let (orchestrator, desk) = running(&database).await;
    desk.stop(Duration::from_secs(5)).await;
    let form = orchestrator.start(Form { text: "torn".into(), seen: String::new() }).await.unwrap();
    let schema = &database.schema;
    let mut connection = database.connection().await;
    let tear = format!("UPDATE {schema}.instance SET state = 'torn'::bytea");
    sqlx::query(AssertSqlSafe(tear)).execute(&mut connection).await.unwrap();
    let wake = format!("UPDATE {schema}.timer SET due_at = now()");
    sqlx::query(AssertSqlSafe(wake)).execute(&mut connection).await.unwrap();

    let parked = SagaFilter { status: Some(Status::Parked), ..SagaFilter::default() };
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while orchestrator.list(&parked, 1).await.unwrap().is_empty() {
        assert!(tokio::time::Instant::now() < deadline, "the saga parks");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let details = orchestrator.show(form.id()).await.unwrap().unwrap();
    assert!(details.summary.parked.unwrap().contains("cannot be read"));
    assert_eq!(&details.stored.state[..], b"torn", "the bytes are kept for whoever mends them");
    let refused = orchestrator.retry(form.id(), "again").await.unwrap_err();
    assert!(refused.to_string().contains("cannot be read"), "{refused}");
}

/// Its headers are more than the table of held replies takes.
#[tokio::test(flavor = "multi_thread")]
async fn a_reply_that_cannot_be_held_is_dead_lettered_and_the_others_are_held() {
    let Some(database) = support::database().await else { return };
    let (orchestrator, desk) = running(&database).await;
    desk.stop(Duration::from_secs(5)).await;
    let form = orchestrator.start(Form { text: "unknown".into(), seen: String::new() }).await.unwrap().id();
    orchestrator.stop(Duration::from_secs(5)).await;

    let transport = MemoryTransport::default();
    let replies = Destination::new("replies").unwrap();
    let other = saga::<Form>(2).check::<Look>().build().unwrap();
    let store = Arc::new(database.client().await);
    let _newer = Orchestrator::builder(store, Arc::new(transport.connect()), "replies")
        .register(&other)
        .start()
        .await
        .unwrap();
    let step = StepName::new("look").unwrap();
    let reply = |attempt| {
        let (saga, step, direction) = (form, step.clone(), Direction::Do);
        let trace = TraceParent::of_message(saga, MessageId::reply(saga, &step, direction));
        let answer = Answer::Refused(Payload::encode(&"no").unwrap());
        ReplyMessage { saga, step, direction, attempt, answer, trace }.encode(replies.clone())
    };
    let mut large = reply(2);
    let headers = large.headers.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    large.headers = headers.chain([("large".into(), "x".repeat(128 * 1024))]).collect();
    for published in transport.publish(&[reply(1), large, reply(3)]).await {
        published.unwrap();
    }

    let options = SubscribeOptions { source: replies.dead_letters(), group: "dead".into(), in_flight_max: 9 };
    let mut dead = transport.subscribe(options).await.unwrap();
    let dead = tokio::time::timeout(Duration::from_secs(30), dead.receive(9)).await.unwrap().unwrap();
    assert_eq!(dead.len(), 1);
    assert!(dead[0].envelope.headers.iter().any(|(name, _)| name == "large"));
    let held = async {
        while database.count("SELECT count(*) FROM held").await < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), held).await.expect("the others are held");
}
