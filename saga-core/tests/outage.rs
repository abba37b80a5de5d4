//! Outages of orchestrators and of the broker, end to end over the adapters in memory: they spend no attempt.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Bench, PlaceOrder};
use futures_util::future::join_all;
use saga_core::id::{Destination, Direction, MessageId, SagaId, StepName};
use saga_core::memory::{MemoryStore, MemoryTransport};
use saga_core::message::{Answer, Envelope, Payload, ReplyMessage, TraceParent};
use saga_core::policy::Retry;
use saga_core::port::Transport;
use saga_core::runtime::{Orchestrator, OrchestratorBuilder, SagaOutcome};
use saga_core::{Command, Definition, NothingToUndo, Participant, Saga, Step, saga};
use serde::{Deserialize, Serialize};

struct Nobody;

impl Participant for Nobody {
    const NAME: &'static str = "nobody";
}

/// Asked once, and then closed.
#[derive(Serialize, Deserialize)]
struct Ask;

impl Command for Ask {
    const TYPE: &'static str = "ask";
    type Participant = Nobody;
    type Reply = ();
    type Refusal = ();
}

#[derive(Debug, Serialize, Deserialize)]
struct Errand;

impl Saga for Errand {
    const NAME: &'static str = "errand";
}

impl Step<Errand> for Ask {
    fn command(_: &Errand) -> Self {
        Ask
    }

    fn retry() -> Retry {
        Retry::default().attempts(1)
    }
}

impl NothingToUndo<Errand> for Ask {}

fn asking() -> Definition<Errand> {
    saga(1).check::<Ask>().build().unwrap()
}

/// The reply of somebody who is asked.
fn reply(saga: SagaId) -> Envelope {
    let step = StepName::new("ask").unwrap();
    let answer = Answer::Done(Payload::encode(&()).unwrap());
    let trace = TraceParent::of_message(saga, MessageId::reply(saga, &step, Direction::Do));
    let reply = ReplyMessage { saga, step, direction: Direction::Do, attempt: 1, answer, trace };
    reply.encode(Destination::new("errands.replies").unwrap())
}

type Configure = fn(OrchestratorBuilder<MemoryStore>) -> OrchestratorBuilder<MemoryStore>;

async fn orchestrator(
    store: &Arc<MemoryStore>,
    transport: &MemoryTransport,
    configure: Configure,
) -> Orchestrator<MemoryStore> {
    let builder = Orchestrator::builder(store.clone(), Arc::new(transport.connect()), "errands.replies");
    configure(builder.register(&asking())).start().await.unwrap()
}

/// A saga that has asked, and the orchestrator that is there again after an hour in which nobody was.
async fn after_an_outage(configure: Configure) -> (MemoryTransport, Orchestrator<MemoryStore>, SagaId) {
    let (store, transport) = (Arc::new(MemoryStore::default()), MemoryTransport::default());
    let before = orchestrator(&store, &transport, configure).await;
    let errand = before.start(Errand).await.unwrap().id();
    drop(before);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let after = orchestrator(&store, &transport, configure).await;
    (transport, after, errand)
}

async fn decisions(orchestrator: &Orchestrator<MemoryStore>, saga: SagaId) -> Vec<String> {
    let journal = orchestrator.show(saga).await.unwrap().unwrap().journal;
    journal.into_iter().map(|line| line.entry.decision).collect()
}

const GIVEN_UP: &str = "outcome of ask unknown, closing it";

#[tokio::test(start_paused = true)]
async fn an_outage_does_not_spend_the_attempts_of_what_was_out() {
    let (transport, after, errand) = after_an_outage(|builder| builder).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    transport.publish(&[reply(errand)]).await.remove(0).unwrap();
    assert!(matches!(after.handle(errand).outcome().await.unwrap(), SagaOutcome::<Errand>::Completed(_)));
    assert_eq!(decisions(&after, errand).await, ["started", "completed"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_still_missing_after_the_grace_is_given_up() {
    let (_transport, after, errand) = after_an_outage(|builder| builder).await;
    tokio::time::sleep(Duration::from_secs(25)).await;
    assert_eq!(decisions(&after, errand).await, ["started"]);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(decisions(&after, errand).await[1], GIVEN_UP);
}

#[tokio::test(start_paused = true)]
async fn the_grace_is_as_long_as_was_asked_for() {
    let (_transport, after, errand) =
        after_an_outage(|builder| builder.grace(Duration::from_secs(300))).await;
    tokio::time::sleep(Duration::from_secs(290)).await;
    assert_eq!(decisions(&after, errand).await, ["started"]);
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(decisions(&after, errand).await[1], GIVEN_UP);
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_is_away_for_minutes_has_no_saga_compensated() {
    let bench = Bench::start().await;
    bench.transport.go_away();
    let starting = (0..100).map(|_| bench.orchestrator.start(PlaceOrder::of(1, 1)));
    let orders: Vec<_> = join_all(starting).await.into_iter().map(Result::unwrap).collect();
    tokio::time::sleep(Duration::from_secs(300)).await;
    bench.transport.come_back();
    for order in orders {
        let outcome = order.outcome().await.unwrap();
        assert!(matches!(outcome, SagaOutcome::Completed(_)), "{outcome:?}");
    }
    bench.assert_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_waited_out_a_short_outage_comes_before_the_timer_that_was_due_in_it() {
    let (store, transport) = (Arc::new(MemoryStore::default()), MemoryTransport::default());
    let orchestrator = orchestrator(&store, &transport, |builder| builder).await;
    let errand = orchestrator.start(Errand).await.unwrap();
    transport.go_away();
    tokio::time::sleep(Duration::from_secs(20)).await;
    transport.come_back();
    // The broker has it, but it is on its way for a while.
    tokio::time::sleep(Duration::from_secs(5)).await;
    transport.publish(&[reply(errand.id())]).await.remove(0).unwrap();
    assert!(matches!(errand.outcome().await.unwrap(), SagaOutcome::Completed(_)));
    assert_eq!(decisions(&orchestrator, errand.id()).await, ["started", "completed"]);
}

#[tokio::test(start_paused = true)]
async fn timers_fire_again_after_an_outage() {
    let (store, transport) = (Arc::new(MemoryStore::default()), MemoryTransport::default());
    let orchestrator = orchestrator(&store, &transport, |builder| builder).await;
    let errand = orchestrator.start(Errand).await.unwrap();
    transport.go_away();
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(decisions(&orchestrator, errand.id()).await, ["started"]);
    transport.come_back();
    // As long as the outage, and then as long as the grace, since the timer is later than that.
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(decisions(&orchestrator, errand.id()).await[1], GIVEN_UP);
}
